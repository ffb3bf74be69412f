// A YAML tree read against a table of fields: types checked, unknown keys answered with the nearest valid one.
//
// Threads: pure functions.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/config/field.h"
#include "common/config/yaml_tree.h"
#include "nlohmann/json.hpp"

namespace pixelrec::config {

struct FieldValues {
  // By field path; only what the document says, in JSON of the field's type. A null value is left out.
  std::map<std::string, nlohmann::json> values;
  // By path of every key and map in the document: where its value stands.
  std::map<std::string, std::string> places;

  // Place of `path`, or of the nearest map around it that the document has.
  std::string PlaceOf(const std::string& path) const;
};

// `what` names the document in the error for an empty one ("a job", "a coordinator's configuration").
// INVALID_ARGUMENT: "FILE:LINE:COLUMN: ..."; the first problem in document order.
absl::StatusOr<FieldValues> ReadFields(const YamlTree& tree, const std::vector<Field>& fields, absl::string_view what);

// The field of that path; nullptr: none.
const Field* FindField(const std::vector<Field>& fields, absl::string_view path);

// "did you mean \"learning_rate\"?" for an unknown `key` inside the map `parent` ("" at the top).
std::string NearestKeyHint(const std::vector<Field>& fields, const std::string& parent, const std::string& key);

}  // namespace pixelrec::config
