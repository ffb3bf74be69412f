// A file of torch.save: pytorch_model.bin, *.pt, *.pth. Reads what state dicts and training checkpoints are made of; never
// executes anything in it. Format: docs/formats.md.
//
// Tensors are views of the mapped file where they are contiguous, and copies otherwise; copies take no more memory than the file
// is long. Every tensor lies inside its storage, and every storage has exactly the size that the pickle says. Values of the file
// (trained numbers) are not looked at. Not for TorchScript archives or the format from before torch 1.6: both are refused.
// Threads: one thread at a time (a copy is made when its tensor is asked for).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/storage/mapped_file.h"
#include "worker/checkpoint/torch_file/pickle.h"
#include "worker/checkpoint/torch_file/zip_archive.h"

namespace pixelrec::checkpoint {

struct TorchTensor {
  std::string dtype;                // by safetensors' names: "F32", "BF16", "I64", ...
  std::vector<int64_t> shape;       // empty: a scalar
  const std::byte* data = nullptr;  // little-endian, row-major
  size_t bytes = 0;
  std::vector<absl::Span<const std::byte>> parts;  // to be written: bytes in several places, and `data` null
};

struct StateDict {
  std::map<std::string, TorchTensor> tensors;
  // Entries that are no tensor, or of a type that is not read (complex, quantized): name -> why.
  std::map<std::string, std::string> skipped;
};

class TorchFile {
 public:
  // INVALID_ARGUMENT: not a file of torch.save, or one that contradicts itself: "FILE: ENTRY: byte N: what". UNIMPLEMENTED: a
  // format that is not read, and how to convert it. DATA_LOSS: cut off. NOT_FOUND, ...: as errno says.
  static absl::StatusOr<std::unique_ptr<TorchFile>> Open(const std::filesystem::path& path);
  // `file` must outlive the result.
  static absl::StatusOr<std::unique_ptr<TorchFile>> Parse(absl::Span<const std::byte> file, absl::string_view file_name);

  // The saved object.
  const Pickle& pickle() const { return pickle_; }
  const std::string& file_name() const { return file_name_; }

  // A tensor, a Parameter or a subclass of one.
  bool IsTensor(const PickleValue& value) const;
  // UNIMPLEMENTED: an element type or layout that is not read. Otherwise errors of Open.
  absl::StatusOr<TorchTensor> Tensor(const PickleValue& value);
  // Every tensor of a dictionary by its key. INVALID_ARGUMENT: no dictionary, or a damaged tensor.
  absl::StatusOr<StateDict> Tensors(const PickleValue& dict);
  // A torch.Size, or a tuple or list of whole numbers >= 0. `value` may be nullptr: INVALID_ARGUMENT, as for anything else.
  absl::StatusOr<std::vector<int64_t>> Sizes(const PickleValue* value) const;

  // "FILE: ENTRY: byte N: why".
  absl::Status Refuse(const PickleValue& value, absl::string_view why) const;

 private:
  struct TensorCall {
    const PickleValue* callable = nullptr;
    const PickleValue* arguments = nullptr;
  };
  struct Storage;
  struct Layout;
  TorchFile(absl::Span<const std::byte> file, absl::string_view file_name) : file_name_(file_name), copy_budget_(file.size()) {}
  absl::Status Load(absl::Span<const std::byte> file);
  absl::StatusOr<TensorCall> FindTensorCall(const PickleValue& value) const;
  absl::StatusOr<Storage> StorageOf(const PickleValue& value) const;
  absl::Status ApplyDtype(const TensorCall& call, Storage& storage) const;
  absl::StatusOr<Layout> LayoutOf(const PickleValue& arguments, const Storage& storage) const;
  absl::StatusOr<const std::byte*> CopyContiguous(const PickleValue& arguments, const Storage& storage, const Layout& layout,
                                                  size_t bytes);

  std::string file_name_;
  std::string pickle_name_;  // "FILE: ENTRY"
  std::string root_folder_;  // of the archive's entries, with the slash
  std::unique_ptr<storage::MappedFile> map_;
  ZipArchive archive_;
  Pickle pickle_;
  size_t copy_budget_;  // bytes
  std::vector<std::unique_ptr<std::byte[]>> copies_;
};

}  // namespace pixelrec::checkpoint
