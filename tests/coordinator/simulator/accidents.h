// Everything that goes wrong around the control plane: which kinds and how often is drawn for each run, when is chance.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/coordinator/simulator/coordinator_node.h"
#include "tests/coordinator/simulator/journal_disk.h"
#include "tests/coordinator/simulator/network.h"
#include "tests/coordinator/simulator/promises.h"
#include "tests/coordinator/simulator/worker_node.h"

namespace pixelrec::simulator {

class Accidents {
 public:
  struct World {
    Timeline& timeline;
    Network& network;
    JournalDisk& journal;
    SharedFiles& files;
    Trainers& trainers;
    CoordinatorNode& coordinator;
    std::vector<std::unique_ptr<WorkerNode>>& workers;
    Promises& promises;
    Trace& trace;
  };
  // `pace`: how much slower than usual everything is.
  Accidents(World world, Dice dice, double pace);

  void Start(microseconds until);
  // Everything is mended, and nothing happens any more.
  void Calm();

  // How often each kind happened.
  const std::map<std::string, int>& counts() const { return counts_; }

 private:
  struct Kind {
    std::string name;
    std::function<bool()> happens;  // false: it couldn't now
    microseconds mean{0};
  };
  std::vector<Kind> Kinds();
  std::vector<Kind> TrainerKinds();
  void Plan(size_t kind);
  // For a while; undone by Calm() at the latest.
  microseconds AWhile();

  WorkerNode* AnyWorker(bool up);
  uint64_t AnyTrainer();
  void StartWorkerLater(size_t index, microseconds delay);
  bool CutLink(bool to_server, bool to_client);
  bool DamageNewestCheckpoint();

  World w_;
  Dice dice_;
  const double pace_;
  microseconds until_{0};
  bool calm_ = false;
  std::vector<Kind> kinds_;
  std::map<std::string, int> counts_;
};

}  // namespace pixelrec::simulator
