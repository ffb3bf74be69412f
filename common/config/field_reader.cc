#include "common/config/field_reader.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/config/edit_distance.h"
#include "common/config/scalar.h"

namespace pixelrec::config {
namespace {

using nlohmann::json;
using Kind = YamlNode::Kind;

std::string Join(const std::string& parent, const std::string& key) {
  return parent.empty() ? key : absl::StrCat(parent, ".", key);
}

bool IsInnerPath(const std::vector<Field>& fields, const std::string& path) {
  return std::any_of(fields.begin(), fields.end(), [&](const Field& f) { return absl::StartsWith(f.path, path + "."); });
}

std::vector<std::string> KeysIn(const std::vector<Field>& fields, const std::string& parent) {
  std::vector<std::string> keys;
  for (const Field& field : fields) {
    const std::string prefix = parent.empty() ? "" : parent + ".";
    if (!absl::StartsWith(field.path, prefix)) continue;
    std::string key = field.path.substr(prefix.size());
    key = key.substr(0, key.find('.'));
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
  }
  return keys;
}

// Walks one document; the first problem ends the walk.
class Reader {
 public:
  Reader(const YamlTree& tree, const std::vector<Field>& fields) : tree_(tree), fields_(fields) {}

  absl::Status ReadMap(const YamlNode& map, const std::string& path) {
    for (const YamlNode::Entry& entry : map.entries) {
      const YamlNode& key = tree_.node(entry.key_node);
      const YamlNode& value = tree_.node(entry.value_node);
      const std::string child = Join(path, entry.key);
      result_.places[child] = value.where;
      if (const Field* field = FindField(fields_, child)) {
        if (absl::Status status = ReadField(*field, value); !status.ok()) return status;
      } else if (IsInnerPath(fields_, child)) {
        if (value.kind == Kind::kNull) continue;
        if (value.kind != Kind::kMap) return Refuse(value, absl::StrCat(child, ": must be a map (got ", Describe(value), ")"));
        if (absl::Status status = ReadMap(value, child); !status.ok()) return status;
      } else {
        return Refuse(key, absl::StrCat("unknown key \"", entry.key, "\"", path.empty() ? "" : absl::StrCat(" in ", path), "; ",
                                        NearestKeyHint(fields_, path, entry.key)));
      }
    }
    return absl::OkStatus();
  }

  FieldValues Take() { return std::move(result_); }
  void SetRootPlace(const std::string& where) { result_.places[""] = where; }

 private:
  static absl::Status Refuse(const YamlNode& node, const std::string& message) {
    return absl::InvalidArgumentError(absl::StrCat(node.where, ": ", message));
  }

  std::string Describe(const YamlNode& node) const {
    switch (node.kind) {
      case Kind::kNull:
        return "null";
      case Kind::kSequence:
        return "a list";
      case Kind::kMap:
        return "a map";
      case Kind::kScalar:
        return node.quoted ? DisplayValue(node.scalar) : DisplayValue(ReadScalar(node));
    }
    return "";
  }

  absl::Status WrongType(const Field& field, const YamlNode& node, absl::string_view expected) const {
    std::string message = absl::StrCat(field.path, ": must be ", expected, " (got ", Describe(node), ")");
    if (node.kind == Kind::kScalar && !node.quoted && (field.type == FieldType::kString || field.type == FieldType::kStringMap)) {
      absl::StrAppend(&message, "; put it in quotes");
    }
    return Refuse(node, message);
  }

  absl::Status ReadField(const Field& field, const YamlNode& node) {
    if (ReadScalar(node).is_null()) {
      if (field.nullable) return absl::OkStatus();
      return WrongType(field, node, TypeName(field.type));
    }
    absl::StatusOr<json> value = ReadValue(field, node);
    if (!value.ok()) return value.status();
    if (std::string refusal = RefusalOf(field, *value); !refusal.empty()) {
      return Refuse(node, absl::StrCat(field.path, ": ", refusal));
    }
    result_.values[field.path] = *std::move(value);
    return absl::OkStatus();
  }

  absl::StatusOr<json> ReadValue(const Field& field, const YamlNode& node) {
    switch (field.type) {
      case FieldType::kStringList:
      case FieldType::kPathList:
        return ReadList(field, node, FieldType::kString);
      case FieldType::kIntegerList:
        return ReadList(field, node, FieldType::kInteger);
      case FieldType::kStringMap:
        return ReadEntries(field, node, FieldType::kString);
      case FieldType::kNumberMap:
        return ReadEntries(field, node, FieldType::kNumber);
      default:
        return ReadOne(field, node, field.type);
    }
  }

  absl::StatusOr<json> ReadOne(const Field& field, const YamlNode& node, FieldType type) {
    if (node.kind != Kind::kScalar) return WrongType(field, node, TypeName(type));
    const json scalar = ReadScalar(node);
    bool fits = false;
    switch (type) {
      case FieldType::kInteger:
        fits = scalar.is_number_integer();
        break;
      case FieldType::kNumber:
        if (scalar.is_number()) return json(scalar.get<double>());
        break;
      case FieldType::kBoolean:
        fits = scalar.is_boolean();
        break;
      case FieldType::kDuration:
        if (const auto milliseconds = ReadDuration(node.scalar)) return json(*milliseconds);
        break;
      default:
        fits = scalar.is_string();
    }
    if (!fits) return WrongType(field, node, TypeName(type));
    return scalar;
  }

  absl::StatusOr<json> ReadList(const Field& field, const YamlNode& node, FieldType element) {
    json list = json::array();
    if (field.comma_separated && node.kind == Kind::kScalar && ReadScalar(node).is_string()) {
      for (absl::string_view part : absl::StrSplit(node.scalar, ',')) {
        part = absl::StripAsciiWhitespace(part);
        if (part.empty())
          return Refuse(node, absl::StrCat(field.path, ": has an empty name (got ", DisplayValue(node.scalar), ")"));
        list.push_back(std::string(part));
      }
      return list;
    }
    if (node.kind != Kind::kSequence) return WrongType(field, node, TypeName(field.type));
    for (const int item : node.items) {
      absl::StatusOr<json> value = ReadOne(field, tree_.node(item), element);
      if (!value.ok()) return value.status();
      list.push_back(*std::move(value));
    }
    return list;
  }

  absl::StatusOr<json> ReadEntries(const Field& field, const YamlNode& node, FieldType element) {
    if (node.kind != Kind::kMap) return WrongType(field, node, TypeName(field.type));
    json entries = json::object();
    for (const YamlNode::Entry& entry : node.entries) {
      absl::StatusOr<json> value = ReadOne(field, tree_.node(entry.value_node), element);
      if (!value.ok()) return value.status();
      entries[entry.key] = *std::move(value);
      result_.places[Join(field.path, entry.key)] = tree_.node(entry.value_node).where;
    }
    return entries;
  }

  const YamlTree& tree_;
  const std::vector<Field>& fields_;
  FieldValues result_;
};

}  // namespace

std::string FieldValues::PlaceOf(const std::string& path) const {
  for (std::string at = path; !at.empty();) {
    if (const auto found = places.find(at); found != places.end()) return found->second;
    const size_t dot = at.rfind('.');
    at = dot == std::string::npos ? "" : at.substr(0, dot);
  }
  const auto root = places.find("");
  return root == places.end() ? "" : root->second;
}

const Field* FindField(const std::vector<Field>& fields, absl::string_view path) {
  const auto found =
      std::find_if(fields.begin(), fields.end(), [&](const Field& field) { return field.path == std::string(path); });
  return found == fields.end() ? nullptr : &*found;
}

std::string NearestKeyHint(const std::vector<Field>& fields, const std::string& parent, const std::string& key) {
  // Right word, wrong place.
  for (const Field& field : fields) {
    if (LeafKey(field.path) == key) return absl::StrCat("did you mean \"", field.path, "\"?");
  }
  // A slip of one or two letters beside the right keys; elsewhere only a clear likeness counts.
  const std::vector<std::string> siblings = KeysIn(fields, parent);
  std::string best;
  size_t best_distance = std::numeric_limits<size_t>::max();
  const auto consider = [&](const std::string& candidate, const std::string& shown, size_t allowed) {
    const size_t distance = EditDistance(key, candidate);
    if (distance <= allowed && distance < best_distance) {
      best_distance = distance;
      best = shown;
    }
  };
  const size_t third = key.size() / 3;
  for (const std::string& sibling : siblings) consider(sibling, sibling, key.size() < 4 ? 1 : std::max<size_t>(2, third));
  for (const Field& field : fields) consider(LeafKey(field.path), field.path, third);
  if (!best.empty()) return absl::StrCat("did you mean \"", best, "\"?");
  return absl::StrCat("keys here: ", absl::StrJoin(siblings, ", "));
}

absl::StatusOr<FieldValues> ReadFields(const YamlTree& tree, const std::vector<Field>& fields, absl::string_view what) {
  const YamlNode& root = tree.root();
  if (root.kind == Kind::kNull)
    return absl::InvalidArgumentError(absl::StrCat(root.where, ": the file is empty; ", what, " is expected"));
  if (root.kind != Kind::kMap)
    return absl::InvalidArgumentError(absl::StrCat(root.where, ": must be a map of keys; ", what, " is expected"));
  Reader reader(tree, fields);
  reader.SetRootPlace(root.where);
  if (absl::Status status = reader.ReadMap(root, ""); !status.ok()) return status;
  return reader.Take();
}

}  // namespace pixelrec::config
