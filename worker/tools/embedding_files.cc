#include "worker/tools/embedding_files.h"

#include <string>
#include <vector>

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

std::vector<std::string> ItemIds(const data::Dataset& dataset) {
  std::vector<std::string> ids;
  for (uint32_t i = 1; i <= dataset.num_items(); ++i) ids.emplace_back(dataset.item_name(i));
  return ids;
}

absl::Status WriteEmbeddings(const std::filesystem::path& dir, const at::Tensor& rows_NH, const std::vector<std::string>& ids) {
  const at::Tensor rows = rows_NH.contiguous();
  std::string matrix = NpyHeader(rows.size(0), rows.size(1)), lines;
  matrix.append(static_cast<const char*>(rows.const_data_ptr()), rows.nbytes());
  for (const std::string& id : ids) {
    if (id.find('\n') != std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("the item id \"", id, "\" holds a line break: item_ids.txt has one id a line"));
    }
    absl::StrAppend(&lines, id, "\n");
  }
  if (auto status = storage::WriteFileAtomically(dir / "item_embeddings.npy", matrix); !status.ok()) return status;
  return storage::WriteFileAtomically(dir / "item_ids.txt", lines);
}

absl::Status WriteItemEmbeddings(const std::filesystem::path& dir, const at::Tensor& items_NH, const data::Dataset& dataset) {
  return WriteEmbeddings(dir, items_NH.narrow(0, 1, static_cast<int64_t>(dataset.num_items())), ItemIds(dataset));
}

}  // namespace pixelrec::tools
