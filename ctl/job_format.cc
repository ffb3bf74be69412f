#include "ctl/job_format.h"

#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/config/field.h"
#include "common/config/job_fields.h"
#include "nlohmann/json.hpp"

namespace pixelrec::ctl {
namespace {

using config::Field;
using config::FieldType;
using Json = nlohmann::ordered_json;

// What a required key shows until the user puts the real thing there.
std::string Placeholder(const Field& field) {
  if (field.path == "metadata.name") return "my-job";
  if (field.path == "spec.data.interaction_data") return "data/interactions.csv";
  if (field.path == "spec.data.text_data") return "data/items.csv";
  if (absl::StrContains(field.path, "model_dir")) return "models/llm";
  return "results/my-job";
}

std::string YamlValue(const Field& field) {
  if (field.required) return Placeholder(field);
  const nlohmann::json& value = field.default_value;
  if (value.is_string() && field.type == FieldType::kEnum) return value.get<std::string>();
  return value.is_object() ? "{}" : config::DisplayValue(value);
}

// What of the type's values is possible, for the comment.
std::string ValuesText(const Field& field) {
  if (field.values.size() > 1) return absl::StrCat(" One of: ", absl::StrJoin(field.values, ", "), ".");
  return "";
}

void AppendWrapped(std::string& text, const std::string& indent, const std::string& comment) {
  constexpr size_t kWidth = 110;
  std::string line = absl::StrCat(indent, "#");
  for (const absl::string_view word : absl::StrSplit(comment, ' ')) {
    if (line.size() + 1 + word.size() > kWidth) {
      absl::StrAppend(&text, line, "\n");
      line = absl::StrCat(indent, "#");
    }
    absl::StrAppend(&line, " ", word);
  }
  absl::StrAppend(&text, line, "\n");
}

// Only one value is possible: the default.
bool IsFixed(const Field& field) { return field.available.size() == 1; }

Json TypeSchema(const Field& field) {
  switch (field.type) {
    case FieldType::kInteger:
      return {{"type", "integer"}};
    case FieldType::kNumber:
      return {{"type", "number"}};
    case FieldType::kBoolean:
      return {{"type", "boolean"}};
    case FieldType::kStringList:
    case FieldType::kPathList:
      return {{"type", "array"}, {"items", {{"type", "string"}}}};
    case FieldType::kIntegerList:
      return {{"type", "array"}, {"items", {{"type", "integer"}}}};
    case FieldType::kStringMap:
      return {{"type", "object"}, {"additionalProperties", {{"type", "string"}}}};
    case FieldType::kNumberMap:
      return {{"type", "object"}, {"additionalProperties", {{"type", "number"}}}};
    case FieldType::kDuration:
      return {{"type", "string"}, {"pattern", "^[0-9]{1,9}(ms|s|m|h)$"}};
    default:
      return {{"type", "string"}};
  }
}

void AddBounds(const Field& field, Json& schema) {
  Json& bounded = schema.contains("items")                  ? schema["items"]
                  : schema.contains("additionalProperties") ? schema["additionalProperties"]
                                                            : schema;
  if (field.type == FieldType::kDuration) return;  // bounded in milliseconds, written with a unit
  if (field.min) bounded[field.min_exclusive ? "exclusiveMinimum" : "minimum"] = *field.min;
  if (field.max) bounded["maximum"] = *field.max;
  if (!field.pattern.empty()) bounded["pattern"] = absl::StrCat("^(", field.pattern, ")$");
  if (!field.values.empty()) schema["enum"] = field.values;
  if (field.non_empty) schema[schema.contains("items") ? "minItems" : "minLength"] = 1;
}

Json FieldSchema(const Field& field) {
  Json schema = TypeSchema(field);
  AddBounds(field, schema);
  if (!field.available.empty()) {
    // Types and bounds say nothing more where the values are listed.
    schema = Json::object();
    schema["enum"] = field.available;
  } else if (field.comma_separated) {
    schema = {{"anyOf", {schema, {{"type", "string"}, {"minLength", 1}}}}};
  }
  if (field.nullable && field.available.empty()) schema["type"] = {schema["type"], "null"};
  schema["description"] = field.doc;
  if (!field.available.empty()) schema["description"] = absl::StrCat(field.doc, " (", field.later, ")");
  if (!field.required) schema["default"] = field.default_value;
  return schema;
}

Json Closed() { return {{"type", "object"}, {"additionalProperties", false}, {"properties", Json::object()}}; }

}  // namespace

std::string JobTemplate() {
  std::string text =
      "# A PixelRec training job. Submit it with: pixelrecctl submit job.yaml --follow\n"
      "# Every key is shown with its default; only name, data, model and output_dir are required.\n\n";
  std::vector<std::string> open;  // maps around the previous key
  for (const Field& field : config::JobFields()) {
    std::vector<std::string> steps = absl::StrSplit(field.path, '.');
    const std::string key = steps.back();
    steps.pop_back();
    size_t shared = 0;
    while (shared < open.size() && shared < steps.size() && open[shared] == steps[shared]) ++shared;
    for (size_t i = shared; i < steps.size(); ++i) absl::StrAppend(&text, std::string(2 * i, ' '), steps[i], ":\n");
    open = steps;
    const std::string indent(2 * steps.size(), ' ');
    const std::string later = IsFixed(field) ? absl::StrCat(" Not yet: ", field.later, ".") : "";
    AppendWrapped(text, indent, absl::StrCat(field.required ? "Required. " : "", field.doc, ValuesText(field), later));
    absl::StrAppend(&text, indent, IsFixed(field) ? "# " : "", key, ": ", YamlValue(field), "\n");
  }
  return text;
}

std::string JobSchema() {
  Json root = {{"$schema", "http://json-schema.org/draft-07/schema#"}, {"title", "PixelRec Trainer job"}};
  root.update(Closed());
  for (const Field& field : config::JobFields()) {
    Json* map = &root;
    const std::vector<std::string> steps = absl::StrSplit(field.path, '.');
    for (size_t i = 0; i + 1 < steps.size(); ++i) {
      Json& properties = (*map)["properties"];
      if (!properties.contains(steps[i])) properties[steps[i]] = Closed();
      if (field.required) {
        Json& required = (*map)["required"];
        if (std::find(required.begin(), required.end(), steps[i]) == required.end()) required.push_back(steps[i]);
      }
      map = &properties[steps[i]];
    }
    (*map)["properties"][steps.back()] = FieldSchema(field);
    if (field.required) (*map)["required"].push_back(steps.back());
  }
  return root.dump(2) + "\n";
}

}  // namespace pixelrec::ctl
