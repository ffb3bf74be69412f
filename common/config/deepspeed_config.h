// DeepSpeed's JSON -> values for job.yaml. Every key is mapped, listed as accepted without effect, or refused: see
// deepspeed_keys.h.
//
// A key that isn't there, or is null, leaves the job's value, also where DeepSpeed's own default is another.
// Threads: pure functions.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/config/field_reader.h"
#include "nlohmann/json.hpp"

namespace pixelrec::config {

struct DeepSpeedConfig {
  struct Setting {
    nlohmann::json value;  // of the field's type, in its range
    std::string key;       // "optimizer.params.lr"
    std::string where;     // "ds.json:9:7"
  };
  std::map<std::string, Setting> settings;  // by field: "spec.train.learning_rate"
  std::set<std::string> automatic;          // fields whose key says "auto": the job's value stands
  // In the document's order: "ds.json:4:5: zero_optimization.overlap_comm: accepted, no effect because ...".
  std::vector<std::string> notices;
};

// `file` names the source in errors. INVALID_ARGUMENT: "FILE:LINE:COLUMN: what is wrong; how to mend it".
absl::StatusOr<DeepSpeedConfig> ParseDeepSpeedConfig(absl::string_view text, absl::string_view file);

// Adds to what job.yaml says what the JSON says, with the JSON's places.
// INVALID_ARGUMENT: both say something of the same field, and not the same; names both places.
absl::Status MergeDeepSpeedConfig(const DeepSpeedConfig& config, FieldValues& job);

}  // namespace pixelrec::config
