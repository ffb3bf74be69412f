#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/checkpoint/dtype.h"
#include "worker/checkpoint/safetensors.h"
#include "worker/checkpoint/safetensors_header.h"

namespace pixelrec::checkpoint {
namespace {

uint64_t BytesOf(const TensorSpec& tensor) {
  return *TensorBytes(tensor.shape, *ElementBytes(tensor.dtype));
}  // checked by Create

}  // namespace

absl::StatusOr<std::unique_ptr<SafetensorsWriter>> SafetensorsWriter::Create(const std::filesystem::path& path,
                                                                             std::vector<TensorSpec> tensors,
                                                                             const std::map<std::string, std::string>& metadata,
                                                                             storage::FileSystem& files) {
  auto header = FormatSafetensorsHeader(tensors, metadata);
  if (!header.ok()) return absl::InvalidArgumentError(absl::StrCat(path.string(), ": ", header.status().message()));
  auto file = files.Create(path, storage::FileSystem::Existing::kTruncate);
  if (!file.ok()) return file.status();
  std::unique_ptr<SafetensorsWriter> writer(new SafetensorsWriter(path, files, std::move(tensors)));
  writer->file_ = *std::move(file);
  auto status = writer->Write(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(header->data()), header->size()));
  if (!status.ok()) return status;
  return writer;
}

SafetensorsWriter::~SafetensorsWriter() {
  if (file_ == nullptr) return;
  file_.reset();
  (void)files_.RemoveFile(path_);
}

absl::Status SafetensorsWriter::Write(absl::Span<const std::byte> bytes) {
  digest_.Add(bytes);
  return file_->Append(bytes);
}

absl::Status SafetensorsWriter::Append(absl::string_view name, absl::Span<const std::byte> bytes) {
  if (file_ == nullptr) return absl::FailedPreconditionError(absl::StrCat(path_.string(), ": already finished"));
  // Tensors that are complete, empty ones included, give way to the next name.
  while (next_ < tensors_.size() && tensors_[next_].name != name && written_of_it_ == BytesOf(tensors_[next_])) {
    ++next_;
    written_of_it_ = 0;
  }
  if (next_ == tensors_.size() || tensors_[next_].name != name) {
    return absl::InvalidArgumentError(absl::StrCat(path_.string(), ": tensor ", name, " is not next, ",
                                                   next_ == tensors_.size() ? "none is" : tensors_[next_].name));
  }
  if (bytes.size() > BytesOf(tensors_[next_]) - written_of_it_) {
    return absl::InvalidArgumentError(absl::StrCat(path_.string(), ": tensor ", name, " has ", BytesOf(tensors_[next_]),
                                                   " bytes, ", written_of_it_ + bytes.size(), " were given"));
  }
  written_of_it_ += bytes.size();
  return Write(bytes);
}

absl::StatusOr<FileDigest> SafetensorsWriter::Finish() {
  if (file_ == nullptr) return absl::FailedPreconditionError(absl::StrCat(path_.string(), ": already finished"));
  while (next_ < tensors_.size() && written_of_it_ == BytesOf(tensors_[next_])) {
    ++next_;
    written_of_it_ = 0;
  }
  if (next_ < tensors_.size()) {
    return absl::FailedPreconditionError(absl::StrCat(path_.string(), ": tensor ", tensors_[next_].name, " lacks ",
                                                      BytesOf(tensors_[next_]) - written_of_it_, " bytes"));
  }
  if (auto status = file_->SyncAndClose(); !status.ok()) return status;
  file_.reset();
  return digest_.Finish();
}

absl::StatusOr<FileDigest> WriteTensors(const std::filesystem::path& path, absl::Span<const TensorInfo> tensors,
                                        const std::map<std::string, std::string>& metadata, storage::FileSystem& files) {
  std::vector<TensorSpec> specs;
  specs.reserve(tensors.size());
  for (const TensorInfo& tensor : tensors) specs.push_back({tensor.name, tensor.dtype, tensor.shape});
  auto writer = SafetensorsWriter::Create(path, std::move(specs), metadata, files);
  if (!writer.ok()) return writer.status();
  for (const TensorInfo& tensor : tensors) {
    for (const auto& part : PartsOf(tensor)) {
      if (auto status = (*writer)->Append(tensor.name, part); !status.ok()) return status;
    }
  }
  return (*writer)->Finish();
}

}  // namespace pixelrec::checkpoint
