// What jobs are like: how long their steps take, when they save, which of them can't succeed. Known to the trainers only; the
// coordinator has to find out.
#pragma once

#include <map>
#include <string>

#include "pixelrec/v1/job.pb.h"
#include "tests/coordinator/simulator/dice.h"

namespace pixelrec::simulator {

struct Nature {
  int steps_per_epoch = 100;
  int epochs = 1;
  int every_steps = 0;
  int logging_steps = 10;
  microseconds step{0};
  microseconds prepare{0}, start{0}, load{0}, save{0}, validate{0};
  bool bad_data = false;
  std::string unfit_host;   // where its files can't be seen
  int64_t doomed_step = 0;  // its loss is never finite there

  int64_t total_steps() const { return int64_t{steps_per_epoch} * epochs; }
};

class Workload {
 public:
  // `pace`: how much slower than usual everything is.
  Workload(Dice dice, double pace, int most_workers) : dice_(dice), pace_(pace), most_workers_(most_workers) {}

  v1::JobSpec NewJob();
  const Nature& Of(const std::string& name) const { return natures_.at(name); }

 private:
  Dice dice_;
  const double pace_;
  const int most_workers_;
  int jobs_ = 0;
  std::map<std::string, Nature> natures_;  // by name
};

// Of the samples that the first `steps` steps of a job visit, each once, in their order.
uint64_t VisitSamples(uint64_t digest, int64_t from_step, int64_t to_step);

}  // namespace pixelrec::simulator
