// The JSON header of a safetensors file <-> plain descriptions. Private to safetensors*.cc.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/checkpoint/safetensors.h"

namespace pixelrec::checkpoint {

struct HeaderEntry {
  std::string dtype;
  std::vector<int64_t> shape;
  uint64_t begin = 0;  // bytes from the start of the data
  uint64_t end = 0;
};

struct SafetensorsHeader {
  std::map<std::string, HeaderEntry> tensors;
  std::map<std::string, std::string> metadata;
};

// Only exactly the format's structure is taken, without building a document: memory is that of the entries. Duplicate names are
// refused. INVALID_ARGUMENT without a file name.
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(absl::string_view json);

// Length prefix and JSON, padded with spaces to a multiple of 8 bytes, so that data of a page-aligned map is aligned.
absl::StatusOr<std::string> FormatSafetensorsHeader(const std::vector<TensorSpec>& tensors,
                                                    const std::map<std::string, std::string>& metadata);

}  // namespace pixelrec::checkpoint
