#include "worker/tools/embedding_files.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/storage/atomic_file.h"

namespace pixelrec::tools {
namespace {

// NumPy's format 1.0: magic, version, header length, header padded so that the data starts at a multiple of 64.
std::string NpyHeader(int64_t rows, int64_t columns) {
  std::string dictionary = absl::StrCat("{'descr': '<f4', 'fortran_order': False, 'shape': (", rows, ", ", columns, "), }");
  constexpr size_t kPrefix = 10, kAlignment = 64;
  const size_t padded = (kPrefix + dictionary.size() + 1 + kAlignment - 1) / kAlignment * kAlignment - kPrefix;
  dictionary.resize(padded - 1, ' ');
  dictionary.push_back('\n');
  std::string header("\x93NUMPY\x01\x00", 8);
  header.push_back(static_cast<char>(padded & 0xff));
  header.push_back(static_cast<char>(padded >> 8));
  return header + dictionary;
}

}  // namespace

absl::Status WriteItemEmbeddings(const std::filesystem::path& dir, const at::Tensor& items_NH, const data::Dataset& dataset) {
  const auto rows = static_cast<int64_t>(dataset.num_items());
  const at::Tensor items = items_NH.narrow(0, 1, rows).contiguous();
  std::string matrix = NpyHeader(rows, items.size(1));
  matrix.append(static_cast<const char*>(items.const_data_ptr()), items.nbytes());
  std::string ids;
  for (uint32_t i = 1; i <= dataset.num_items(); ++i) ids.append(std::string(dataset.item_name(i))).push_back('\n');
  if (auto status = storage::WriteFileAtomically(dir / "item_embeddings.npy", matrix); !status.ok()) return status;
  return storage::WriteFileAtomically(dir / "item_ids.txt", ids);
}

}  // namespace pixelrec::tools
