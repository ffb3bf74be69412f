// Where the workers' seconds go: every one in exactly one bucket.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/coordinator/simulator/timeline.h"

namespace pixelrec::simulator {

enum class Bucket {
  kAway,  // no daemon runs
  kIdle,
  kPrepare,
  kInit,  // a trainer starts, meets the others, loads
  kTrain,
  kStalled,   // a rank of the gang stands still
  kStopping,  // told to end, or its gang is broken
};
inline constexpr int kBuckets = 7;

// Of training, what a committed checkpoint or a result kept, and what was done again.
struct Accounts {
  std::array<microseconds, kBuckets> buckets{};
  microseconds kept{0}, lost{0};

  microseconds total() const;
  // Kept training by all time in which a daemon was there and had work.
  double goodput() const;
  void Add(const Accounts& other);
  std::string InWords() const;
};

class Ledger {
 public:
  using GangId = std::pair<std::string, uint64_t>;  // job, generation

  Ledger(const Timeline& timeline, size_t workers);

  void Enter(size_t worker, Bucket bucket, const GangId& gang = {});
  // A checkpoint of `step` holds what the gang has done so far.
  void Mark(const GangId& gang, int64_t step);
  void OnCommitted(const GangId& gang, int64_t step);
  void OnResult(const GangId& gang);

  Accounts Close();

 private:
  struct Training {
    microseconds done{0}, kept{0};
    int workers = 0;
    microseconds since{0};
    std::map<int64_t, microseconds> marks;
  };
  struct Worker {
    Bucket bucket = Bucket::kAway;
    microseconds since{0};
    GangId gang;
  };
  void Settle(Training& training);

  const Timeline& timeline_;
  std::vector<Worker> workers_;
  std::map<GangId, Training> trainings_;
  Accounts accounts_;
};

}  // namespace pixelrec::simulator
