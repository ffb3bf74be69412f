// The one table of DeepSpeed's JSON: every key that is known, and what becomes of it here. The reader and docs/deepspeed.md are
// both driven by it.
//
// Keys and defaults are those of DeepSpeed 0.14 to 0.18, with the deprecated ones that configurations still carry.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace pixelrec::config {

enum class DeepSpeedTreatment {
  kMapped,    // sets a field of job.yaml
  kNoEffect,  // accepted and listed with the reason
  kRefused,   // except for the values in `harmless`, which ask for what is done anyway
};

enum class DeepSpeedType { kBoolean, kInteger, kNumber, kText, kNumberList, kObject };

struct DeepSpeedKey {
  std::string path;  // "zero_optimization.stage"
  DeepSpeedTreatment treatment = DeepSpeedTreatment::kNoEffect;
  DeepSpeedType type = DeepSpeedType::kBoolean;  // kObject: stands for everything inside it too
  std::string target;                            // kMapped: "spec.distributed.zero_stage"
  std::vector<nlohmann::json> harmless;          // kRefused; of an object: values of its "enabled"
  std::string harmless_why;                      // why those have no effect
  std::string why;                               // reason, and the remedy of a refusal; a remark for kMapped
};

// In the order of the documentation.
const std::vector<DeepSpeedKey>& DeepSpeedKeys();

// nullptr: unknown.
const DeepSpeedKey* FindDeepSpeedKey(absl::string_view path);

// The table as Markdown: what docs/deepspeed.md holds.
std::string DeepSpeedKeyTable();

}  // namespace pixelrec::config
