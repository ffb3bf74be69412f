// Notices when all embeddings have become alike: then the filter of false negatives (rule N4) takes every negative for the target
// itself, the loss falls to 0 and no gradient is left. It looks like success on a loss curve, and never mends itself.
//
// Threads: one thread at a time. Pure but for the count of steps; every rank sees the same sums and reaches the same verdict.
#pragma once

#include <cstdint>

namespace pixelrec::train {

class CollapseWatchdog {
 public:
  // Below this share of negatives left in by the filter a step counts as collapsed.
  static constexpr double kMinKeptShare = 0.01;
  // Steps in a row before the first warning: one odd batch is not a collapse.
  static constexpr int kWarnAfter = 10;

  enum class Verdict { kHealthy, kWarn, kFail };

  // max_steps: collapsed steps in a row after which the run fails; 0: never.
  explicit CollapseWatchdog(int max_steps) : max_steps_(max_steps) {}

  // nce_samples: mean number of logits that the filter left in, the positive among them; negatives: how many it could have left.
  Verdict Observe(double nce_samples, int64_t negatives) {
    const bool collapsed = negatives > 0 && nce_samples - 1 < kMinKeptShare * static_cast<double>(negatives);
    in_row_ = collapsed ? in_row_ + 1 : 0;
    if (max_steps_ > 0 && in_row_ >= max_steps_) return Verdict::kFail;
    return in_row_ == kWarnAfter ? Verdict::kWarn : Verdict::kHealthy;
  }
  int in_row() const { return in_row_; }

 private:
  int max_steps_;
  int in_row_ = 0;
};

}  // namespace pixelrec::train
