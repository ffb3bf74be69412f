#include "worker/agent/rank_logs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/storage/atomic_file.h"
#include "common/storage/unique_fd.h"

namespace pixelrec::agent {
namespace {

namespace fs = std::filesystem;

// Never "..", never with a slash.
bool IsFolderName(absl::string_view name) {
  return !name.empty() && name.size() <= 128 &&
         std::all_of(name.begin(), name.end(), [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_'; });
}

// "g12-r0.log" -> 12 for rank 0.
std::optional<uint64_t> GenerationOf(absl::string_view name, int32_t rank) {
  uint64_t generation = 0;
  if (!absl::ConsumePrefix(&name, "g") || !absl::ConsumeSuffix(&name, absl::StrCat("-r", rank, ".log")) ||
      !absl::SimpleAtoi(name, &generation)) {
    return std::nullopt;
  }
  return generation;
}

struct Piece {
  std::string data;
  int64_t next_offset = 0;
};

// `offset` < 0: from the end. An offset behind the end gives nothing, and the end as the next one.
absl::StatusOr<Piece> ReadPiece(const fs::path& path, int64_t offset, size_t max_bytes) {
  storage::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat info;
  if (!fd.valid() || fstat(fd.get(), &info) != 0) return storage::ErrnoStatus(errno, "can't read", path);
  if (offset < 0) offset = std::max<int64_t>(0, info.st_size + offset);
  offset = std::min<int64_t>(offset, info.st_size);
  Piece piece;
  piece.data.resize(std::min<size_t>(max_bytes, static_cast<size_t>(info.st_size - offset)));
  size_t done = 0;
  while (done < piece.data.size()) {
    const ssize_t got = pread(fd.get(), piece.data.data() + done, piece.data.size() - done, offset + static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return storage::ErrnoStatus(errno, "can't read", path);
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  piece.data.resize(done);
  piece.next_offset = offset + static_cast<int64_t>(done);
  return piece;
}

// Length of the UTF-8 sequence at the start of `text`; 0: there is none.
size_t SequenceLength(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) < 0x80) return 1;
  const size_t length = byte(0) >= 0xf0 && byte(0) < 0xf5   ? 4
                        : byte(0) >= 0xe0 && byte(0) < 0xf0 ? 3
                        : byte(0) >= 0xc2 && byte(0) < 0xe0 ? 2
                                                            : 0;
  if (length == 0 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  // Overlong forms, surrogates, and what is above U+10FFFF.
  if ((byte(0) == 0xe0 && byte(1) < 0xa0) || (byte(0) == 0xed && byte(1) >= 0xa0) || (byte(0) == 0xf0 && byte(1) < 0x90) ||
      (byte(0) == 0xf4 && byte(1) >= 0x90)) {
    return 0;
  }
  return length;
}

// A proto string must be UTF-8, and a crashing program may write anything.
std::string ValidUtf8(absl::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  while (!text.empty()) {
    const size_t length = SequenceLength(text);
    valid += length == 0 ? "?" : std::string(text.substr(0, length));
    text.remove_prefix(std::max<size_t>(1, length));
  }
  return valid;
}

}  // namespace

absl::StatusOr<fs::path> RankLogs::PathOf(const RankKey& key) const {
  if (!IsFolderName(key.job_id)) return absl::InvalidArgumentError(absl::StrCat("'", key.job_id, "' is no job id"));
  return root_ / key.job_id / absl::StrCat("g", key.generation, "-r", key.rank, ".log");
}

absl::Status RankLogs::Prepare(const RankKey& key) const {
  const absl::StatusOr<fs::path> path = PathOf(key);
  if (!path.ok()) return path.status();
  std::error_code error;
  fs::create_directories(path->parent_path(), error);
  if (error) return storage::ErrnoStatus(error.value(), "can't make", path->parent_path());
  return absl::OkStatus();
}

absl::StatusOr<fs::path> RankLogs::Newest(const std::string& job_id, int32_t rank) const {
  if (!IsFolderName(job_id)) return absl::InvalidArgumentError(absl::StrCat("'", job_id, "' is no job id"));
  std::optional<uint64_t> newest;
  std::error_code error;
  for (fs::directory_iterator it(root_ / job_id, error), end; !error && it != end; it.increment(error)) {
    newest = std::max(newest, GenerationOf(it->path().filename().string(), rank));
  }
  if (!newest.has_value()) return absl::NotFoundError(absl::StrCat("this worker has no log of rank ", rank, " of job ", job_id));
  return PathOf({job_id, *newest, rank});
}

v1::LogChunk RankLogs::Read(const v1::ReadLog& request) const {
  v1::LogChunk chunk;
  chunk.set_request(request.request());
  const absl::StatusOr<fs::path> path = request.generation() == 0
                                            ? Newest(request.job_id(), request.rank())
                                            : PathOf({request.job_id(), request.generation(), request.rank()});
  const int32_t wanted = request.max_bytes() > 0 ? std::min(request.max_bytes(), kMaxReadBytes) : kMaxReadBytes;
  const absl::StatusOr<Piece> piece = path.ok() ? ReadPiece(*path, request.offset(), static_cast<size_t>(wanted)) : path.status();
  if (!piece.ok()) {
    chunk.set_error(std::string(piece.status().message()));
    return chunk;
  }
  chunk.set_data(piece->data);
  chunk.set_next_offset(piece->next_offset);
  return chunk;
}

std::string RankLogs::Tail(const fs::path& log, size_t max_bytes) {
  const absl::StatusOr<Piece> piece = ReadPiece(log, -static_cast<int64_t>(max_bytes), max_bytes);
  if (!piece.ok()) return "";
  absl::string_view text = piece->data;
  if (piece->next_offset > static_cast<int64_t>(text.size())) {  // cut at the front: begin with a whole line
    const size_t line = text.find('\n');
    if (line != absl::string_view::npos && line + 1 < text.size()) text.remove_prefix(line + 1);
  }
  return ValidUtf8(text);
}

}  // namespace pixelrec::agent
