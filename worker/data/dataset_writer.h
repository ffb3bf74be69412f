// Writes dataset.bin: header, checksums, sections one after another, synced.
//
// Threads: any. Not atomic: the folder it writes to is published as a whole afterwards.
#pragma once

#include <array>
#include <filesystem>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "worker/data/dataset_format.h"

namespace pixelrec::data {

struct DatasetContent {
  std::string data_hash;  // 32 hex digits
  uint32_t items = 0;
  uint32_t train_items = 0;
  uint32_t users = 0;
  int32_t vocab_size = 0;
  int32_t max_seq_length = 0;
  int32_t max_text_length = 0;
  // Bytes of each section; they must outlive the call.
  std::array<absl::string_view, kSectionCount> sections;

  template <typename T>
  void Set(Section section, const std::vector<T>& values) {
    static_assert(std::is_trivially_copyable_v<T>);
    sections[section] = {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
  }
};

// The file's bytes before the first section, checksums and all.
DatasetHeader MakeHeader(const DatasetContent& content);

// RESOURCE_EXHAUSTED: no space.
absl::Status WriteDataset(const DatasetContent& content, const std::filesystem::path& file);

}  // namespace pixelrec::data
