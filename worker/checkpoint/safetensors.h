// safetensors files: u64 little-endian header length, JSON header {name: {dtype, shape, data_offsets}}, raw data. Format:
// docs/formats.md.
//
// Reading maps the file and trusts nothing in it: header length, JSON shape, dtypes, byte counts, and that the offsets cover the
// data without a gap or an overlap. Values are not looked at. Threads: SafetensorsFile is immutable after Open; a
// SafetensorsWriter belongs to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/storage/filesystem.h"
#include "common/storage/mapped_file.h"
#include "worker/checkpoint/digest.h"

namespace pixelrec::checkpoint {

struct TensorInfo {
  std::string name;
  std::string dtype;                // "F32", "F16", "BF16", "I64", ... (dtype.h)
  std::vector<int64_t> shape;       // empty: a scalar
  const std::byte* data = nullptr;  // little-endian, row-major; aligned only as the file's writer left it
  size_t bytes = 0;
  // Of a tensor whose bytes lie in several places, one behind the other; `data` is null then.
  std::vector<absl::Span<const std::byte>> parts;
};

// Where the bytes lie, in order: `parts`, or the one range.
std::vector<absl::Span<const std::byte>> PartsOf(const TensorInfo& tensor);

struct SafetensorsIndex {
  std::map<std::string, TensorInfo> tensors;
  std::map<std::string, std::string> metadata;
};

// Headers longer than this are refused, as the format's own reader does.
inline constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;

// Checks a whole file in memory; the result's data pointers lie in `file`. `file_name` stands in front of every error.
// INVALID_ARGUMENT: not a safetensors file, or its header contradicts itself. DATA_LOSS: shorter than its header says, by how
// much.
absl::StatusOr<SafetensorsIndex> ParseSafetensors(absl::Span<const std::byte> file, absl::string_view file_name);

class SafetensorsFile {
 public:
  // Errors of ParseSafetensors; NOT_FOUND, PERMISSION_DENIED, ...: as errno says.
  static absl::StatusOr<std::unique_ptr<SafetensorsFile>> Open(const std::filesystem::path& path);
  ~SafetensorsFile();
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  // By name. Pointers are good as long as this object lives.
  const std::map<std::string, TensorInfo>& tensors() const { return index_.tensors; }
  const std::map<std::string, std::string>& metadata() const { return index_.metadata; }
  const SafetensorsIndex& index() const { return index_; }
  const std::filesystem::path& path() const { return path_; }
  // NOT_FOUND: "FILE: no tensor NAME".
  absl::StatusOr<TensorInfo> Find(absl::string_view name) const;

 private:
  SafetensorsFile(std::filesystem::path path, storage::MappedFile map);
  std::filesystem::path path_;
  storage::MappedFile map_;
  SafetensorsIndex index_;
};

// What a tensor will be, before its bytes are there.
struct TensorSpec {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
};

// Streams one file: the header at once, then every tensor's bytes in the order of `tensors`. Memory: the header.
//
//   ASSIGN(auto writer, SafetensorsWriter::Create(path, {{"logit_scale", "F32", {}}}, {{"format", "pt"}}));
//   writer->Append("logit_scale", bytes);
//   FileDigest digest = *writer->Finish();
class SafetensorsWriter {
 public:
  // Creates or truncates `path`. INVALID_ARGUMENT: duplicate name, unknown dtype, overflowing shape.
  static absl::StatusOr<std::unique_ptr<SafetensorsWriter>> Create(const std::filesystem::path& path,
                                                                   std::vector<TensorSpec> tensors,
                                                                   const std::map<std::string, std::string>& metadata,
                                                                   storage::FileSystem& files = storage::RealFileSystem());
  // Without Finish the unfinished file is removed.
  ~SafetensorsWriter();
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;

  // The next tensor's bytes, whole or in pieces. INVALID_ARGUMENT: another name is next, or too many bytes. RESOURCE_EXHAUSTED:
  // no space.
  absl::Status Append(absl::string_view name, absl::Span<const std::byte> bytes);
  // fsync and close. FAILED_PRECONDITION: bytes are missing. The folder's entry is for the caller to sync.
  absl::StatusOr<FileDigest> Finish();

 private:
  SafetensorsWriter(std::filesystem::path path, storage::FileSystem& files, std::vector<TensorSpec> tensors)
      : path_(std::move(path)), files_(files), tensors_(std::move(tensors)) {}
  absl::Status Write(absl::Span<const std::byte> bytes);

  std::filesystem::path path_;
  storage::FileSystem& files_;
  std::unique_ptr<storage::WritableFile> file_;  // null once finished
  std::vector<TensorSpec> tensors_;
  size_t next_ = 0;             // tensor being written
  uint64_t written_of_it_ = 0;  // bytes
  Digest digest_;
};

// Writes tensors that lie in memory, in the order given. Errors of SafetensorsWriter; on one, no file stays.
absl::StatusOr<FileDigest> WriteTensors(const std::filesystem::path& path, absl::Span<const TensorInfo> tensors,
                                        const std::map<std::string, std::string>& metadata = {},
                                        storage::FileSystem& files = storage::RealFileSystem());

}  // namespace pixelrec::checkpoint
