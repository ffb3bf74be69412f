// Small JSON files from outside, read with limits. Private to this folder.
#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace pixelrec::checkpoint {

// Regular files of at most `max_bytes`. NOT_FOUND, ...: as errno says. INVALID_ARGUMENT: too large, or not a regular file.
absl::StatusOr<std::string> ReadTextFile(const std::filesystem::path& path, size_t max_bytes);

// Refuses duplicate keys and more than 32 levels, which a plain parse takes in silence.
// INVALID_ARGUMENT: "FILE:LINE:COLUMN: what is wrong", or "FILE: key "x" occurs twice".
absl::StatusOr<nlohmann::json> ParseJson(absl::string_view text, absl::string_view file_name);

// Typed access to one object's fields. The first problem is kept in status() as "FILE: field: what is wrong", so that a reader
// can be written field after field and checked once.
class JsonFields {
 public:
  JsonFields(const nlohmann::json& object, absl::string_view file_name);

  bool Has(const char* name) const;     // present and not null
  bool IsNull(const char* name) const;  // present and null
  // Absent or null: `fallback`, or a problem where there is none.
  int64_t Int(const char* name, int64_t low, int64_t high, std::optional<int64_t> fallback = std::nullopt);
  uint64_t Unsigned(const char* name, std::optional<uint64_t> fallback = std::nullopt);
  // Finite.
  double Number(const char* name, double low, double high, std::optional<double> fallback = std::nullopt);
  bool Bool(const char* name, std::optional<bool> fallback = std::nullopt);
  std::string String(const char* name, std::optional<std::string> fallback = std::nullopt);

  void Fail(absl::string_view field, absl::string_view why);
  const absl::Status& status() const { return status_; }

 private:
  const nlohmann::json* Find(const char* name, bool required);
  const nlohmann::json& object_;
  std::string file_name_;
  absl::Status status_;
};

}  // namespace pixelrec::checkpoint
