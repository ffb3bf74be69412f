// Learning-rate schedule (rule O3).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace pixelrec::train {

// Factor at step t (from 0) of `total` steps: linear warm-up over total * warmup_ratio steps (not rounded), then a half cosine to
// 0.
inline double LearningRateFactor(int64_t t, int64_t total, double warmup_ratio) {
  const double warmup = static_cast<double>(total) * warmup_ratio, step = static_cast<double>(t);
  if (step < warmup) return step / std::max(1.0, warmup);
  const double progress = (step - warmup) / std::max(1.0, static_cast<double>(total) - warmup);
  return std::max(0.0, 0.5 * (1.0 + std::cos(std::numbers::pi * progress)));
}

}  // namespace pixelrec::train
