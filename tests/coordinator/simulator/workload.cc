#include "tests/coordinator/simulator/workload.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "google/protobuf/util/time_util.h"

namespace pixelrec::simulator {

v1::JobSpec Workload::NewJob() {
  const std::string name = absl::StrCat("j", ++jobs_);
  Nature& nature = natures_[name];
  nature.epochs = dice_.Between(1, 3);
  nature.steps_per_epoch = dice_.Between(5, 200);
  nature.every_steps = dice_.Chance(0.8) ? dice_.Between(2, 50) : 0;
  nature.logging_steps = dice_.Between(1, 20);
  nature.step = dice_.Spread(Seconds(0.02 * pace_), Seconds(1 * pace_));
  nature.prepare = dice_.Spread(Seconds(0.05), Seconds(10 * pace_));
  nature.start = dice_.Spread(Seconds(0.05), Seconds(1));
  nature.load = dice_.Spread(Seconds(0.1), Seconds(5 * pace_));
  nature.save = dice_.Spread(Seconds(0.01), Seconds(5 * pace_));
  nature.validate = dice_.Spread(Seconds(0.05), Seconds(5 * pace_));
  nature.bad_data = dice_.Chance(0.03);
  if (dice_.Chance(0.05)) nature.unfit_host = "host-1";
  if (dice_.Chance(0.03)) nature.doomed_step = dice_.Between(1, static_cast<int>(nature.total_steps()));

  v1::JobSpec spec;
  spec.set_name(name);
  spec.set_output_dir("/results/" + name);
  // Sometimes more than there will ever be: such a job waits until it is cancelled.
  const int least = dice_.Between(1, std::max(1, most_workers_ - dice_.Between(0, most_workers_ - 1)));
  spec.mutable_distributed()->set_min_workers(least);
  spec.mutable_distributed()->set_max_workers(dice_.Chance(0.5) ? least : dice_.Between(least, most_workers_ + 1));
  spec.mutable_scheduling()->set_priority(10 * dice_.Between(0, 10));
  spec.mutable_scheduling()->mutable_max_restarts()->set_user(dice_.Chance(0.3) ? dice_.Between(1, 3) : 0);
  spec.mutable_scheduling()->mutable_max_restarts()->set_infrastructure(dice_.Chance(0.2) ? dice_.Between(0, 3)
                                                                                          : (dice_.Chance(0.5) ? -1 : 20));
  if (dice_.Chance(0.1)) {
    const microseconds limit = dice_.Spread(Seconds(5 * pace_), Seconds(600 * pace_));
    *spec.mutable_scheduling()->mutable_time_limit() = google::protobuf::util::TimeUtil::MicrosecondsToDuration(limit.count());
  }
  spec.mutable_checkpoint()->set_keep(dice_.Between(1, 3));
  spec.mutable_checkpoint()->set_every_steps(nature.every_steps);
  spec.mutable_train()->set_num_train_epochs(nature.epochs);
  return spec;
}

uint64_t VisitSamples(uint64_t digest, int64_t from_step, int64_t to_step) {
  for (int64_t step = from_step + 1; step <= to_step; ++step) digest = (digest ^ static_cast<uint64_t>(step)) * 1099511628211ULL;
  return digest;
}

}  // namespace pixelrec::simulator
