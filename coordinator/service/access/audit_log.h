// The security audit log: one line of JSON for every call that changes something and for every refusal, in audit.log of the
// coordinator's folder. docs/formats.md describes a line.
//
// A line is in the file before its call is answered, so that it survives the death of the process; it is forced to the disk
// within a second, which is what a power cut may take. At `max_bytes` the file becomes audit.log.1, and so on to `kept`. What
// can't be written is counted, and said by the next line that can. Of refusals to callers that nobody knows, `unknown_per_second`
// are written and the others counted, so that who may do nothing can't push everything else out of the log. Threads: any. Write()
// may wait for the disk's cache, never for the disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/storage/unique_fd.h"
#include "coordinator/service/access/call.h"

namespace pixelrec::coordinator {

// Lines, since the last that was written.
struct LeftOut {
  int64_t unwritable = 0;
  int64_t unknown = 0;
};

class AuditLog {
 public:
  struct Options {
    std::filesystem::path file;
    int64_t max_bytes = 64 << 20;
    int kept = 4;  // older files
    int unknown_per_second = 20;
    std::function<absl::Time()> now = absl::Now;
    std::function<void(absl::string_view)> log = [](absl::string_view) {};
  };
  // PERMISSION_DENIED and the like: the file can't be opened.
  static absl::StatusOr<std::unique_ptr<AuditLog>> Open(Options options);
  ~AuditLog();

  void Write(const Call& call, const absl::Status& outcome);

 private:
  explicit AuditLog(Options options) : options_(std::move(options)) {}
  absl::Status OpenFile() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Append(const std::string& line) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Rotate() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Of a refusal to nobody known: there have been enough for this second.
  bool IsOneTooMany(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SyncNowAndThen();

  const Options options_;
  absl::Mutex mutex_;
  std::shared_ptr<storage::UniqueFd> file_ ABSL_GUARDED_BY(mutex_);  // owners: this, a sync under way
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  LeftOut left_out_ ABSL_GUARDED_BY(mutex_);
  absl::Time second_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();  // its begin
  int unknown_ ABSL_GUARDED_BY(mutex_) = 0;                           // refusals to nobody known in it
  bool dirty_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread syncer_;
};

// One line, without its end: the fields that have a value, bounded in length, and no secret.
std::string AuditLine(const Call& call, const absl::Status& outcome, absl::Time now, const LeftOut& left_out);

}  // namespace pixelrec::coordinator
