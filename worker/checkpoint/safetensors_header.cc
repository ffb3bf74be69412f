#include "worker/checkpoint/safetensors_header.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/checkpoint/dtype.h"

namespace pixelrec::checkpoint {
namespace {

using Json = nlohmann::ordered_json;

// Tensors have at most a handful of dimensions; a longer shape is an attack or a mistake.
constexpr size_t kMaxDimensions = 32;

// Walks the one structure that a header may have; every event that doesn't fit ends the parse with a reason.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  SafetensorsHeader header;
  std::string problem;

  bool null() override { return Refuse("null"); }
  bool boolean(bool) override { return Refuse("a truth value"); }
  bool number_integer(number_integer_t) override { return Refuse("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { return Refuse("a number that is not a whole one of 64 bits"); }
  bool binary(binary_t&) override { return Refuse("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::kShape) {
      if (value > static_cast<number_unsigned_t>(std::numeric_limits<int64_t>::max()))
        return Fail("a size in its shape leaves 64 bits");
      if (entry_.shape.size() == kMaxDimensions) return Fail("more than 32 dimensions");
      entry_.shape.push_back(static_cast<int64_t>(value));
      return true;
    }
    if (place_ != Place::kOffsets) return Refuse("a number");
    if (offsets_ == 2) return Fail("data_offsets holds more than two numbers");
    (offsets_++ == 0 ? entry_.begin : entry_.end) = value;
    return true;
  }

  bool string(string_t& value) override {
    if (place_ == Place::kMetadata) {
      header.metadata[key_] = std::move(value);
      return true;
    }
    if (place_ != Place::kTensor || field_ != "dtype") return Refuse("a string");
    entry_.dtype = std::move(value);
    return true;
  }

  bool start_object(size_t) override {
    switch (place_) {
      case Place::kStart:
        place_ = Place::kNames;
        return true;
      case Place::kNames:
        fields_.clear();
        entry_ = HeaderEntry();
        place_ = key_ == "__metadata__" ? Place::kMetadata : Place::kTensor;
        name_ = key_;
        return true;
      default:
        return Refuse("an object");
    }
  }

  bool key(string_t& value) override {
    if (place_ == Place::kNames) {
      key_ = std::move(value);
      if (header.tensors.count(key_) != 0 || (key_ == "__metadata__" && metadata_seen_)) return Fail("the name occurs twice");
      metadata_seen_ |= key_ == "__metadata__";
      return true;
    }
    if (!fields_.insert(value).second) return Fail(absl::StrCat("\"", value, "\" occurs twice"));
    if (place_ == Place::kMetadata) {
      key_ = std::move(value);
      return true;
    }
    field_ = std::move(value);
    if (field_ == "dtype" || field_ == "shape" || field_ == "data_offsets") return true;
    return Fail(absl::StrCat("unknown field \"", field_, "\""));
  }

  bool end_object() override {
    if (place_ == Place::kNames) {
      place_ = Place::kEnd;
      return true;
    }
    if (place_ == Place::kTensor) {
      if (fields_.size() != 3) return Fail("dtype, shape and data_offsets must all be given");
      header.tensors.emplace(name_, std::move(entry_));
    }
    place_ = Place::kNames;
    return true;
  }

  bool start_array(size_t) override {
    if (place_ != Place::kTensor || field_ == "dtype") return Refuse("an array");
    place_ = field_ == "shape" ? Place::kShape : Place::kOffsets;
    offsets_ = 0;
    return true;
  }

  bool end_array() override {
    if (place_ == Place::kOffsets && offsets_ != 2) return Fail("data_offsets must hold two numbers");
    place_ = Place::kTensor;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
    problem = absl::StrCat("its header is not valid JSON at byte ", position);
    return false;
  }

 private:
  enum class Place { kStart, kNames, kMetadata, kTensor, kShape, kOffsets, kEnd };

  bool Fail(absl::string_view why) {
    const std::string& name = place_ == Place::kNames || place_ == Place::kMetadata ? key_ : name_;
    problem = absl::StrCat("tensor \"", name.substr(0, 200), "\": ", why);
    return false;
  }
  bool Refuse(absl::string_view what) {
    if (place_ == Place::kStart)
      problem = absl::StrCat("its header is ", what, ", not an object of tensors");
    else
      Fail(absl::StrCat(what, " stands where the format has none"));
    return false;
  }

  Place place_ = Place::kStart;
  std::string key_;    // newest key of kNames or kMetadata
  std::string name_;   // tensor being read
  std::string field_;  // its field being read
  std::set<std::string> fields_;
  HeaderEntry entry_;
  int offsets_ = 0;
  bool metadata_seen_ = false;
};

}  // namespace

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(absl::string_view json) {
  HeaderReader reader;
  // The format asks for '{' as the first byte; JSON alone would allow blanks, which some readers then refuse.
  if (json.empty() || json.front() != '{')
    return absl::InvalidArgumentError("its header doesn't start with '{': not a safetensors file");
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &reader)) return absl::InvalidArgumentError(reader.problem);
  return std::move(reader.header);
}

absl::StatusOr<std::string> FormatSafetensorsHeader(const std::vector<TensorSpec>& tensors,
                                                    const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::set<std::string> names;
  uint64_t offset = 0;
  for (const TensorSpec& tensor : tensors) {
    if (tensor.name == "__metadata__" || !names.insert(tensor.name).second) {
      return absl::InvalidArgumentError(absl::StrCat("tensor \"", tensor.name, "\": the name is reserved or occurs twice"));
    }
    const auto element = ElementBytes(tensor.dtype);
    const auto bytes = element ? TensorBytes(tensor.shape, *element) : std::nullopt;
    uint64_t end = 0;
    if (!bytes || __builtin_add_overflow(offset, *bytes, &end)) {
      return absl::InvalidArgumentError(absl::StrCat("tensor \"", tensor.name, "\": cannot store ", tensor.dtype, " [",
                                                     absl::StrJoin(tensor.shape, ", "), "]"));
    }
    Json& entry = header[tensor.name];
    entry["dtype"] = tensor.dtype;
    entry["shape"] = tensor.shape;
    entry["data_offsets"] = {offset, end};
    offset = end;
  }
  std::string json = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  json.append((8 - json.size() % 8) % 8, ' ');
  if (json.size() > kMaxSafetensorsHeaderBytes)
    return absl::InvalidArgumentError("the header would be longer than 100 MB: too many tensors");
  std::string bytes(8, '\0');
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(json.size() >> (8 * i));
  return bytes + json;
}

}  // namespace pixelrec::checkpoint
