// Reads a tokenizer's files whole, but no larger than such a file can be.
//
// Threads: any.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/storage/atomic_file.h"

namespace pixelrec::tokenizer {

// Far above any real tokenizer; keeps a wrong file (weights, say) from being read whole.
inline constexpr uintmax_t kMaxModelBytes = 256u << 20;
inline constexpr uintmax_t kMaxConfigBytes = 64u << 20;

inline absl::Status InvalidFile(const std::filesystem::path& file, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(file.string(), ": ", what));
}

// INVALID_ARGUMENT: larger than `limit` bytes. Other errors as ReadFile.
inline absl::StatusOr<std::string> ReadBoundedFile(const std::filesystem::path& file, uintmax_t limit) {
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(file, error);
  if (!error && size > limit) return InvalidFile(file, absl::StrCat("larger than ", limit >> 20, " MiB: not a tokenizer file"));
  return storage::ReadFile(file);
}

}  // namespace pixelrec::tokenizer
