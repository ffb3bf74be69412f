// The first thing wrong with a JobSpec, as data: pixelrecctl turns its path into a line and column, the coordinator into a
// message.
#pragma once

#include <optional>
#include <string>

#include "pixelrec/v1/job.pb.h"

namespace pixelrec::config {

struct SpecProblem {
  std::string path;     // "spec.train.learning_rate"
  std::string message;  // "must be > 0 (got -1)"
};

// Of a spec with defaults applied.
std::optional<SpecProblem> FindProblem(const v1::JobSpec& spec);

}  // namespace pixelrec::config
