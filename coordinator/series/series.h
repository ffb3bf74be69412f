// The series of metrics of all jobs, kept by a thread of its own: training's figures are no reason for the engine to wait for a
// disk, and a series that is read costs its reader's time alone.
//
// Threads: any; nothing blocks, `done` is called on the thread of the series and must not block either. What is queued is
// bounded: points of training that come faster than the disk takes them are left out, and counted by those that follow. A file
// that can't be opened or written is complained of and tried again; nothing else depends on it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "coordinator/series/series_file.h"

namespace pixelrec::coordinator {

class Series {
 public:
  struct Options {
    SeriesFile::Options file;
    size_t max_queued = 4096;                       // points
    std::chrono::milliseconds reopen_after{10000};  // a file that can't be opened is tried again
    // Told of what went wrong with the file, once for each trouble. May be empty.
    std::function<void(const std::string& text)> complain = {};
  };
  using Page = SeriesFile::Page;

  static std::unique_ptr<Series> Start(Options options);
  // What is queued is done first.
  ~Series();

  // As in SeriesFile.
  void Append(uint64_t job, int64_t record, v1::MetricPoint point);
  void Forget(uint64_t job);
  // Sees all that was appended before it. Errors of SeriesFile::Open and Read.
  void Read(uint64_t job, uint64_t after, size_t limit, std::function<void(absl::StatusOr<Page>)> done);

 private:
  struct Addition {
    uint64_t job;
    int64_t record;
    v1::MetricPoint point;
  };
  struct Removal {
    uint64_t job;
  };
  struct Question {
    uint64_t job;
    uint64_t after;
    size_t limit;
    std::function<void(absl::StatusOr<Page>)> done;
  };
  using Item = std::variant<Addition, Removal, Question>;

  explicit Series(Options options);
  void Enqueue(Item item);
  void Run();
  absl::Status Open();
  static bool Writes(const std::vector<Item>& items);
  absl::Status Write(const std::vector<Item>& items);
  absl::Status Transact(const std::vector<Item>& items, bool with_additions);
  void Complain(const absl::Status& status);

  const Options options_;
  // Of the thread.
  std::unique_ptr<SeriesFile> file_;  // null: not open yet, as `unopened_` says
  absl::Status unopened_;
  std::chrono::steady_clock::time_point open_at_{};
  bool complained_ = false;

  absl::Mutex mu_;
  std::vector<Item> queue_ ABSL_GUARDED_BY(mu_);
  size_t additions_ ABSL_GUARDED_BY(mu_) = 0;  // in it
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace pixelrec::coordinator
