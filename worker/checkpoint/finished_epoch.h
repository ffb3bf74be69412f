// An epoch as a checkpoint's manifest remembers it, so that a training that goes on in another job knows what was best so far and
// since when.
//
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace pixelrec::checkpoint {

struct FinishedEpoch {
  struct At {
    int64_t k = 0;
    double recall = 0;
    double ndcg = 0;
    friend bool operator==(const At&, const At&) = default;
  };
  int64_t epoch = 0;  // from 1
  int64_t step = 0;
  std::optional<double> train_loss;       // absent: not finite
  std::optional<double> validation_loss;  // absent: not finite
  bool best = false;
  double seconds = 0;
  // Of the validation targets; empty: not ranked after this epoch.
  std::vector<At> validation;
  int64_t users = 0;
  int64_t masked_targets = 0;
  int64_t tied_targets = 0;
  friend bool operator==(const FinishedEpoch&, const FinishedEpoch&) = default;
};

nlohmann::json EpochsToJson(const std::vector<FinishedEpoch>& epochs);
// Of `document`["epochs"]; absent: none. INVALID_ARGUMENT: "FILE: epochs: what is wrong"; epochs must ascend.
absl::StatusOr<std::vector<FinishedEpoch>> EpochsFromJson(const nlohmann::json& document, absl::string_view file_name);

}  // namespace pixelrec::checkpoint
