#include "worker/data/dataset_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "common/storage/atomic_file.h"
#include "common/storage/unique_fd.h"
#include "xxhash.h"

namespace pixelrec::data {
namespace {

uint64_t Aligned(uint64_t offset) { return (offset + kSectionAlignment - 1) / kSectionAlignment * kSectionAlignment; }

absl::Status WriteAt(int fd, absl::string_view bytes, uint64_t offset, const std::filesystem::path& file) {
  constexpr size_t kMost = 1u << 30;  // the kernel takes a little less than 2 GiB at once
  while (!bytes.empty()) {
    const ssize_t wrote = pwrite(fd, bytes.data(), std::min(bytes.size(), kMost), static_cast<off_t>(offset));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return storage::ErrnoStatus(errno, "can't write", file);
    bytes.remove_prefix(static_cast<size_t>(wrote));
    offset += static_cast<uint64_t>(wrote);
  }
  return absl::OkStatus();
}

}  // namespace

DatasetHeader MakeHeader(const DatasetContent& content) {
  DatasetHeader header;
  std::memset(&header, 0, sizeof(header));
  std::memcpy(header.magic, kDatasetMagic, sizeof(header.magic));
  header.version = kFormatVersion;
  header.section_count = kSectionCount;
  std::memcpy(header.data_hash, content.data_hash.data(), std::min(content.data_hash.size(), sizeof(header.data_hash)));
  header.items = content.items;
  header.train_items = content.train_items;
  header.users = content.users;
  header.vocab_size = content.vocab_size;
  header.max_seq_length = content.max_seq_length;
  header.max_text_length = content.max_text_length;
  uint64_t offset = sizeof(header);
  for (uint32_t i = 0; i < kSectionCount; ++i) {
    const absl::string_view bytes = content.sections[i];
    offset = Aligned(offset);
    header.sections[i] = {offset, bytes.size(), XXH3_64bits(bytes.data(), bytes.size())};
    offset += bytes.size();
  }
  header.file_bytes = Aligned(offset);
  header.header_xxh3 = XXH3_64bits(&header, offsetof(DatasetHeader, header_xxh3));
  return header;
}

absl::Status WriteDataset(const DatasetContent& content, const std::filesystem::path& file) {
  const DatasetHeader header = MakeHeader(content);
  storage::UniqueFd fd(open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!fd.valid()) return storage::ErrnoStatus(errno, "can't create", file);
  absl::Status status = WriteAt(fd.get(), {reinterpret_cast<const char*>(&header), sizeof(header)}, 0, file);
  for (uint32_t i = 0; i < kSectionCount && status.ok(); ++i) {
    status = WriteAt(fd.get(), content.sections[i], header.sections[i].offset, file);
  }
  if (!status.ok()) return status;
  if (ftruncate(fd.get(), static_cast<off_t>(header.file_bytes)) != 0) return storage::ErrnoStatus(errno, "can't extend", file);
  if (fsync(fd.get()) != 0) return storage::ErrnoStatus(errno, "can't sync", file);
  if (close(fd.release()) != 0) return storage::ErrnoStatus(errno, "can't close", file);  // where NFS reports a full disk
  return absl::OkStatus();
}

}  // namespace pixelrec::data
