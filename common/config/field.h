// One key of a YAML file, described once: its type, default, range, and what of it this version does. The descriptions drive
// parsing, defaults, validation, `pixelrecctl init` and configs/schema/job.schema.json, so that none of them can disagree.
//
// Values travel as JSON: null, boolean, integer, number, string, array or object.
// Threads: plain values; the checks are pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"

namespace pixelrec::config {

enum class FieldType {
  kString,
  kPath,  // a string; relative to the folder of the file it stands in
  kInteger,
  kNumber,
  kBoolean,
  kEnum,      // a string out of `values`
  kDuration,  // "500ms", "2s", "10m", "1h"; as JSON: milliseconds
  kStringList,
  kPathList,
  kIntegerList,
  kStringMap,
  kNumberMap,
};

struct Field {
  std::string path;  // "spec.train.learning_rate"
  FieldType type = FieldType::kString;
  nlohmann::json default_value = nullptr;  // null: absent
  std::string doc;
  bool required = false;
  bool nullable = false;         // `key: null` means absent
  bool comma_separated = false;  // a list that may be written "a,b"
  bool non_empty = false;        // lists and strings

  // Bounds of a number or of each number of a list.
  std::optional<int64_t> min;
  std::optional<int64_t> max;
  bool min_exclusive = false;

  std::vector<std::string> values;  // kEnum
  std::string pattern;              // ECMAScript, whole string
  std::string pattern_text;         // the same in words

  // Values this version can do, if not all that the type has, and what to say of the others.
  std::vector<nlohmann::json> available;
  std::string later;

  // Chained by the tables.
  Field Required() &&;
  Field Nullable() &&;
  Field CommaSeparated() &&;
  Field NonEmpty() &&;
  Field AtLeast(int64_t bound) &&;
  Field AtMost(int64_t bound) &&;
  Field MoreThan(int64_t bound) &&;
  Field OneOf(std::vector<std::string> allowed) &&;
  Field Matching(std::string regex, std::string words) &&;
  Field OnlyNow(std::vector<nlohmann::json> possible, std::string why_not_others) &&;
};

Field MakeField(FieldType type, std::string path, nlohmann::json default_value, std::string doc);

// "an integer", "a list of strings"; for messages.
std::string TypeName(FieldType type);

// Why `value`, already of the field's type, is refused: "must be > 0 (got -1)"; empty if it isn't.
std::string RefusalOf(const Field& field, const nlohmann::json& value);

// A value as a person would write it in YAML: -1, 0.0001, "text", [a, b].
std::string DisplayValue(const nlohmann::json& value);

// Last part of a path.
std::string LeafKey(const std::string& path);

}  // namespace pixelrec::config
