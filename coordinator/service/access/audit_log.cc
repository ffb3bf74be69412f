#include "coordinator/service/access/audit_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/rpc/reasons.h"
#include "common/storage/atomic_file.h"

namespace pixelrec::coordinator {

namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kSyncInterval = absl::Seconds(1);
// Of a field: a caller may send a megabyte.
constexpr size_t kMaxField = 256;

}  // namespace

std::string AuditLine(const Call& call, const absl::Status& outcome, absl::Time now, const LeftOut& left_out) {
  nlohmann::ordered_json line;
  const auto add = [&line](const char* key, absl::string_view value) {
    if (!value.empty()) {
      line[key] = std::string(value.substr(0, kMaxField));
    }
  };
  add("time", absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", now, absl::UTCTimeZone()));
  add("principal", call.caller.name);
  if (!call.caller.name.empty()) {
    add("role", rpc::RoleName(call.caller.role));
  }
  add("peer", call.peer);
  add("method", absl::string_view(call.method).substr(1));
  add("job", call.job);
  add("worker", call.worker_id);
  add("request_id", call.request_id);
  add("outcome", absl::StatusCodeToString(outcome.code()));
  add("reason", rpc::ReasonOf(outcome));
  if (left_out.unwritable > 0) {
    line["unwritable_before"] = left_out.unwritable;
  }
  if (left_out.unknown > 0) {
    line["unknown_before"] = left_out.unknown;
  }
  return line.dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace);
}

absl::StatusOr<std::unique_ptr<AuditLog>> AuditLog::Open(Options options) {
  std::unique_ptr<AuditLog> log(new AuditLog(std::move(options)));
  {
    absl::MutexLock lock(&log->mutex_);
    if (absl::Status status = log->OpenFile(); !status.ok()) {
      return status;
    }
  }
  log->syncer_ = std::thread([self = log.get()] { self->SyncNowAndThen(); });
  return log;
}

AuditLog::~AuditLog() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (syncer_.joinable()) {
    syncer_.join();
  }
}

absl::Status AuditLog::OpenFile() {
  storage::UniqueFd fd(open(options_.file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  struct stat status;
  if (!fd.valid() || fstat(fd.get(), &status) != 0) {
    return storage::ErrnoStatus(errno, "can't open the audit log", options_.file);
  }
  bytes_ = status.st_size;
  file_ = std::make_shared<storage::UniqueFd>(std::move(fd));
  return absl::OkStatus();
}

absl::Status AuditLog::Rotate() {
  const auto numbered = [this](int number) { return fs::path(absl::StrCat(options_.file.string(), ".", number)); };
  fdatasync(file_->get());
  std::error_code error;
  for (int number = options_.kept - 1; number > 0; --number) {
    fs::rename(numbered(number), numbered(number + 1), error);  // there may be fewer yet
  }
  fs::rename(options_.file, numbered(1), error);
  if (error) {
    return storage::ErrnoStatus(error.value(), "can't rotate the audit log", options_.file);
  }
  return OpenFile();
}

absl::Status AuditLog::Append(const std::string& line) {
  if (bytes_ > 0 && bytes_ + static_cast<int64_t>(line.size()) > options_.max_bytes) {
    if (absl::Status status = Rotate(); !status.ok()) {
      return status;
    }
  }
  const ssize_t written = write(file_->get(), line.data(), line.size());
  if (written == static_cast<ssize_t>(line.size())) {
    bytes_ += written;
    dirty_ = true;
    return absl::OkStatus();
  }
  const int error = written < 0 ? errno : ENOSPC;
  // Half a line would spoil the next one too.
  if (written > 0 && ftruncate(file_->get(), bytes_) != 0) {
    bytes_ += written;
  }
  return storage::ErrnoStatus(error, "can't write the audit log", options_.file);
}

void AuditLog::Write(const Call& call, const absl::Status& outcome) {
  absl::MutexLock lock(&mutex_);
  const absl::Time now = options_.now();
  if (absl::IsUnauthenticated(outcome) && IsOneTooMany(now)) {
    ++left_out_.unknown;
    return;
  }
  const absl::Status status = Append(AuditLine(call, outcome, now, left_out_) + "\n");
  if (status.ok()) {
    left_out_ = {};
  } else if (left_out_.unwritable++ == 0) {
    options_.log(status.message());
  }
}

bool AuditLog::IsOneTooMany(absl::Time now) {
  if (now < second_ || now >= second_ + absl::Seconds(1)) {
    second_ = now;
    unknown_ = 0;
  }
  return ++unknown_ > options_.unknown_per_second;
}

void AuditLog::SyncNowAndThen() {
  bool stopping = false;
  while (!stopping) {
    std::shared_ptr<storage::UniqueFd> file;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.AwaitWithTimeout(absl::Condition(&stopping_), kSyncInterval);
      stopping = stopping_;
      if (std::exchange(dirty_, false)) {
        file = file_;
      }
    }
    if (file != nullptr) {
      fdatasync(file->get());
    }
  }
}

}  // namespace pixelrec::coordinator
