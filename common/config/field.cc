#include "common/config/field.h"

#include <algorithm>
#include <regex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace pixelrec::config {
namespace {

using nlohmann::json;

constexpr size_t kMaxStringBytes = 4096;
constexpr size_t kMaxEntries = 64;

// As users write it: "90s", "2h".
std::string DurationText(int64_t milliseconds) {
  for (const auto& [unit, length] : {std::pair("h", 3600'000), std::pair("m", 60'000), std::pair("s", 1000)}) {
    if (milliseconds != 0 && milliseconds % length == 0) return absl::StrCat(milliseconds / length, unit);
  }
  return absl::StrCat(milliseconds, "ms");
}

std::string NumberText(const Field& field, const json& value) {
  return field.type == FieldType::kDuration && value.is_number_integer() ? DurationText(value.get<int64_t>())
                                                                         : DisplayValue(value);
}

std::string RangeText(const Field& field) {
  if (field.min && field.max) {
    return absl::StrCat("must be between ", NumberText(field, *field.min), " and ", NumberText(field, *field.max));
  }
  if (field.min) return absl::StrCat("must be ", field.min_exclusive ? "> " : ">= ", NumberText(field, *field.min));
  return absl::StrCat("must be <= ", NumberText(field, *field.max));
}

bool InRange(const Field& field, const json& value) {
  if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) return !field.max;
  if (value.is_number_integer()) {
    const int64_t number = value.get<int64_t>();
    if (field.min && (field.min_exclusive ? number <= *field.min : number < *field.min)) return false;
    return !field.max || number <= *field.max;
  }
  const double number = value.get<double>();
  if (field.min &&
      (field.min_exclusive ? !(number > static_cast<double>(*field.min)) : !(number >= static_cast<double>(*field.min)))) {
    return false;
  }
  return !field.max || number <= static_cast<double>(*field.max);
}

std::string RefusalOfString(const Field& field, const std::string& value) {
  if (value.size() > kMaxStringBytes)
    return absl::StrCat("must be at most ", kMaxStringBytes, " bytes long (got ", value.size(), ")");
  if (value.find('\0') != std::string::npos) return "must not contain a NUL character";
  if (field.non_empty && value.empty()) return "must not be empty";
  if (!field.pattern.empty() && !std::regex_match(value, std::regex(field.pattern))) {
    return absl::StrCat(field.pattern_text, " (got ", DisplayValue(value), ")");
  }
  if (field.type == FieldType::kEnum && std::find(field.values.begin(), field.values.end(), value) == field.values.end()) {
    return absl::StrCat("must be one of ", absl::StrJoin(field.values, ", "), " (got ", DisplayValue(value), ")");
  }
  return "";
}

std::string RefusalOfElement(const Field& field, const json& value) {
  if (value.is_string()) return RefusalOfString(field, value.get_ref<const std::string&>());
  if (value.is_number() && !InRange(field, value)) return absl::StrCat(RangeText(field), " (got ", NumberText(field, value), ")");
  return "";
}

}  // namespace

Field MakeField(FieldType type, std::string path, json default_value, std::string doc) {
  Field field;
  field.path = std::move(path);
  field.type = type;
  field.default_value = std::move(default_value);
  field.doc = std::move(doc);
  // Paths are never empty; a text may be.
  field.non_empty = type == FieldType::kPath || type == FieldType::kPathList;
  return field;
}

Field Field::Required() && {
  required = true;
  return std::move(*this);
}
Field Field::Nullable() && {
  nullable = true;
  return std::move(*this);
}
Field Field::CommaSeparated() && {
  comma_separated = true;
  return std::move(*this);
}
Field Field::NonEmpty() && {
  non_empty = true;
  return std::move(*this);
}
Field Field::AtLeast(int64_t bound) && {
  min = bound;
  return std::move(*this);
}
Field Field::AtMost(int64_t bound) && {
  max = bound;
  return std::move(*this);
}
Field Field::MoreThan(int64_t bound) && {
  min = bound;
  min_exclusive = true;
  return std::move(*this);
}
Field Field::OneOf(std::vector<std::string> allowed) && {
  values = std::move(allowed);
  return std::move(*this);
}
Field Field::Matching(std::string regex, std::string words) && {
  pattern = std::move(regex);
  pattern_text = std::move(words);
  return std::move(*this);
}
Field Field::OnlyNow(std::vector<json> possible, std::string why_not_others) && {
  available = std::move(possible);
  later = std::move(why_not_others);
  return std::move(*this);
}

std::string TypeName(FieldType type) {
  switch (type) {
    case FieldType::kString:
    case FieldType::kEnum:
      return "a string";
    case FieldType::kPath:
      return "a path";
    case FieldType::kInteger:
      return "an integer";
    case FieldType::kNumber:
      return "a number";
    case FieldType::kBoolean:
      return "true or false";
    case FieldType::kDuration:
      return "a duration such as 500ms, 2s, 10m or 1h";
    case FieldType::kStringList:
      return "a list of strings";
    case FieldType::kPathList:
      return "a list of paths";
    case FieldType::kIntegerList:
      return "a list of integers";
    case FieldType::kStringMap:
      return "a map of strings";
    case FieldType::kNumberMap:
      return "a map of numbers";
  }
  return "a value";
}

std::string RefusalOf(const Field& field, const json& value) {
  if (value.is_null()) return field.nullable ? "" : absl::StrCat("must be ", TypeName(field.type), " (got null)");
  if (value.is_array() || value.is_object()) {
    if (value.size() > kMaxEntries) return absl::StrCat("must have at most ", kMaxEntries, " entries (got ", value.size(), ")");
    // A list of paths may be empty; none of its paths may.
    if (value.empty() && field.non_empty && field.type != FieldType::kPathList) return "must not be empty";
    for (const json& element : value) {
      if (std::string refusal = RefusalOfElement(field, element); !refusal.empty()) return refusal;
    }
  } else if (std::string refusal = RefusalOfElement(field, value); !refusal.empty()) {
    return refusal;
  }
  if (field.available.empty() || std::find(field.available.begin(), field.available.end(), value) != field.available.end())
    return "";
  return absl::StrCat(value.is_object() ? "" : DisplayValue(value) + " is ", "not available: ", field.later);
}

std::string DisplayValue(const json& value) {
  if (value.is_number_float()) return absl::StrCat(value.get<double>());
  if (value.is_array()) {
    std::vector<std::string> parts;
    for (const json& element : value) parts.push_back(element.is_string() ? element.get<std::string>() : DisplayValue(element));
    return absl::StrCat("[", absl::StrJoin(parts, ", "), "]");
  }
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  // A whole file pasted into a value need not come back in the error.
  constexpr size_t kShown = 80;
  return text.size() <= kShown ? text : absl::StrCat(text.substr(0, kShown), "...");
}

std::string LeafKey(const std::string& path) {
  const size_t dot = path.rfind('.');
  return dot == std::string::npos ? path : path.substr(dot + 1);
}

}  // namespace pixelrec::config
