#include "worker/checkpoint/tensor_file.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <utility>

#include "absl/strings/match.h"

namespace pixelrec::checkpoint {
namespace {

// torch.save's files begin as a ZIP archive or (refused, with the way out) as a pickle. A damaged file is what its name says.
bool IsTorch(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return false;  // a pipe would make the look inside wait
  std::array<char, 4> start{};
  std::ifstream(path, std::ios::binary).read(start.data(), start.size());
  const absl::string_view text(start.data(), start.size());
  if (absl::StartsWith(text, "PK") || absl::StartsWith(text, "\x80\x02")) return true;
  return path.extension() == ".bin" || path.extension() == ".pt" || path.extension() == ".pth";
}

// The dictionary of tensors: the saved object itself, or under one of the names that training programs use.
const PickleValue& StateOf(const TorchFile& file) {
  const Pickle& pickle = file.pickle();
  const PickleValue& root = pickle.root();
  const auto holds_tensors = [&](const PickleValue& dict) {
    return std::any_of(dict.children.begin(), dict.children.end(), [&](uint32_t v) { return file.IsTensor(pickle.at(v)); });
  };
  if (root.kind != PickleValue::Kind::kDict || holds_tensors(root)) return root;
  for (const char* name : {"state_dict", "model", "module", "model_state_dict"}) {
    const PickleValue* const inner = pickle.Get(root, name);
    if (inner != nullptr && inner->kind == PickleValue::Kind::kDict && holds_tensors(*inner)) return *inner;
  }
  return root;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TensorFile>> TensorFile::Open(const std::filesystem::path& path) {
  std::unique_ptr<TensorFile> file(new TensorFile(path));
  if (IsTorch(path)) {
    if (auto status = file->LoadTorch(); !status.ok()) return status;
    return file;
  }
  auto opened = SafetensorsFile::Open(path);
  if (!opened.ok()) return opened.status();
  file->safetensors_ = *std::move(opened);
  file->tensors_ = file->safetensors_->tensors();
  return file;
}

absl::Status TensorFile::LoadTorch() {
  auto opened = TorchFile::Open(path_);
  if (!opened.ok()) return opened.status();
  torch_ = *std::move(opened);
  auto state = torch_->Tensors(StateOf(*torch_));
  if (!state.ok()) return state.status();
  for (const auto& [name, tensor] : state->tensors) tensors_[name] = InfoOf(name, tensor);
  skipped_ = std::move(state->skipped);
  return absl::OkStatus();
}

TensorInfo InfoOf(const std::string& name, const TorchTensor& tensor) {
  return {.name = name, .dtype = tensor.dtype, .shape = tensor.shape, .data = tensor.data, .bytes = tensor.bytes};
}

}  // namespace pixelrec::checkpoint
