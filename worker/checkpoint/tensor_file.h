// Named tensors of one file, whatever its format: safetensors, or torch.save's (pytorch_model.bin, *.pt). The content decides;
// the name where that says nothing. Mapped; see safetensors.h and torch_file/torch_file.h for what is checked.
//
// Threads: immutable once opened.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "worker/checkpoint/safetensors.h"
#include "worker/checkpoint/torch_file/torch_file.h"

namespace pixelrec::checkpoint {

class TensorFile {
 public:
  // A torch file's dictionary of tensors may lie under "state_dict", "model", "module" or "model_state_dict" beside other things.
  // Errors of SafetensorsFile::Open and TorchFile::Open; INVALID_ARGUMENT: a torch file that holds no such dictionary.
  static absl::StatusOr<std::unique_ptr<TensorFile>> Open(const std::filesystem::path& path);

  // By name. Pointers are good as long as this object lives.
  const std::map<std::string, TensorInfo>& tensors() const { return tensors_; }
  // Entries that are no tensor, or of a type that is not read: name -> why.
  const std::map<std::string, std::string>& skipped() const { return skipped_; }
  const std::filesystem::path& path() const { return path_; }
  // "safetensors" or "torch".
  const char* format() const { return torch_ != nullptr ? "torch" : "safetensors"; }

 private:
  explicit TensorFile(std::filesystem::path path) : path_(std::move(path)) {}
  absl::Status LoadTorch();

  std::filesystem::path path_;
  std::unique_ptr<SafetensorsFile> safetensors_;
  std::unique_ptr<TorchFile> torch_;
  std::map<std::string, TensorInfo> tensors_;
  std::map<std::string, std::string> skipped_;
};

// A torch tensor under a name; its bytes stay where they are.
TensorInfo InfoOf(const std::string& name, const TorchTensor& tensor);

}  // namespace pixelrec::checkpoint
