#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/storage/atomic_file.h"
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
                                                                             const std::map<std::string, std::string>& metadata) {
  auto header = FormatSafetensorsHeader(tensors, metadata);
  if (!header.ok()) return absl::InvalidArgumentError(absl::StrCat(path.string(), ": ", header.status().message()));
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return storage::ErrnoStatus(errno, "cannot create", path);
  std::unique_ptr<SafetensorsWriter> writer(new SafetensorsWriter(path, fd, std::move(tensors)));
  auto status = writer->Write(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(header->data()), header->size()));
  if (!status.ok()) return status;
  return writer;
}

SafetensorsWriter::SafetensorsWriter(std::filesystem::path path, int fd, std::vector<TensorSpec> tensors)
    : path_(std::move(path)), fd_(fd), tensors_(std::move(tensors)) {}

SafetensorsWriter::~SafetensorsWriter() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(path_.c_str());
}

absl::Status SafetensorsWriter::Write(absl::Span<const std::byte> bytes) {
  digest_.Add(bytes);
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return storage::ErrnoStatus(errno, "cannot write", path_);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status SafetensorsWriter::Append(absl::string_view name, absl::Span<const std::byte> bytes) {
  if (fd_ < 0) return absl::FailedPreconditionError(absl::StrCat(path_.string(), ": already finished"));
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
  if (fd_ < 0) return absl::FailedPreconditionError(absl::StrCat(path_.string(), ": already finished"));
  while (next_ < tensors_.size() && written_of_it_ == BytesOf(tensors_[next_])) {
    ++next_;
    written_of_it_ = 0;
  }
  if (next_ < tensors_.size()) {
    return absl::FailedPreconditionError(absl::StrCat(path_.string(), ": tensor ", tensors_[next_].name, " lacks ",
                                                      BytesOf(tensors_[next_]) - written_of_it_, " bytes"));
  }
  if (::fsync(fd_) != 0) return storage::ErrnoStatus(errno, "cannot sync", path_);
  const int fd = std::exchange(fd_, -1);
  if (::close(fd) != 0) return storage::ErrnoStatus(errno, "cannot close", path_);
  return digest_.Finish();
}

absl::StatusOr<FileDigest> WriteTensors(const std::filesystem::path& path, absl::Span<const TensorInfo> tensors,
                                        const std::map<std::string, std::string>& metadata) {
  std::vector<TensorSpec> specs;
  specs.reserve(tensors.size());
  for (const TensorInfo& tensor : tensors) specs.push_back({tensor.name, tensor.dtype, tensor.shape});
  auto writer = SafetensorsWriter::Create(path, std::move(specs), metadata);
  if (!writer.ok()) return writer.status();
  for (const TensorInfo& tensor : tensors) {
    auto status = (*writer)->Append(tensor.name, absl::MakeConstSpan(tensor.data, tensor.bytes));
    if (!status.ok()) return status;
  }
  return (*writer)->Finish();
}

}  // namespace pixelrec::checkpoint
