// dataset.bin as typed spans over its bytes, after every byte of it was checked.
//
// Threads: pure function, plain data. The spans live as long as the bytes.
#pragma once

#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/data/dataset.h"
#include "worker/data/dataset_format.h"

namespace pixelrec::data {

// Rows of unequal length: row i is values[offsets[i], offsets[i + 1]).
template <typename T>
struct Csr {
  std::span<const uint64_t> offsets;
  std::span<const T> values;
  std::span<const T> row(size_t i) const { return values.subspan(offsets[i], offsets[i + 1] - offsets[i]); }
};

struct DatasetView {
  DatasetHeader header;
  Csr<uint32_t> tokens;
  Csr<uint32_t> history;
  Csr<int64_t> times;  // shares the offsets of history
  std::span<const Sample> samples;
  std::span<const uint32_t> eval_users;
  std::span<const uint32_t> train_counts;
  Csr<char> item_names;
  Csr<char> item_titles;
  Csr<char> user_names;
  size_t common_prefix = 0;  // see common_prefix.h
};

// `bytes` starts at a multiple of 8. Checks the header, the checksums, that sections lie inside the file and have the sizes the
// header promises, that offsets ascend, and that every item, user, token and sample is in range: what comes back can be used
// unchecked. DATA_LOSS: damaged. FAILED_PRECONDITION: another format version. Messages have no file name.
absl::StatusOr<DatasetView> ParseDataset(absl::string_view bytes);

}  // namespace pixelrec::data
