// Points of a series for tests.
#pragma once

#include <vector>

#include "pixelrec/v1/events.pb.h"

namespace pixelrec::coordinator {

inline v1::MetricPoint Trained(uint64_t sequence, int64_t step, uint64_t generation = 1) {
  v1::MetricPoint point;
  point.set_sequence((generation << 32) + sequence);
  point.set_generation(generation);
  point.set_step(step);
  point.mutable_training()->set_loss(10.0 / static_cast<double>(step));
  return point;
}

inline v1::MetricPoint Evaluated(uint64_t sequence, int64_t step, uint64_t generation = 1) {
  v1::MetricPoint point = Trained(sequence, step, generation);
  point.clear_training();
  point.add_evaluations()->set_name("validation");
  return point;
}

inline std::vector<int64_t> Steps(const std::vector<v1::MetricPoint>& points) {
  std::vector<int64_t> steps;
  for (const v1::MetricPoint& point : points) steps.push_back(point.step());
  return steps;
}

}  // namespace pixelrec::coordinator
