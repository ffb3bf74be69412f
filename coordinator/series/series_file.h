// The series of metrics of all jobs in one SQLite file beside the journal. Nothing depends on it but curves: a transaction is not
// waited for until it is on the disk, so that a machine that loses its power may lose the last seconds. Format: docs/formats.md.
//
// A job has at most `max_points` points of training; when there are more, neighbours are merged (thinning.h) and the point that
// stays counts them. Points of evaluations all stay. Threads: one at a time. Blocking.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "pixelrec/v1/events.pb.h"

struct sqlite3;
struct sqlite3_stmt;

namespace pixelrec::coordinator {

class SeriesFile {
 public:
  struct Options {
    std::filesystem::path path;  // the database file; its folder exists
    size_t max_points = 2000;
    int64_t max_bytes = 0;  // refuse to grow beyond this; 0: as the disk allows
  };
  struct Page {
    std::vector<v1::MetricPoint> points;
    bool more = false;
  };

  // A damaged file is moved aside (".damaged") and a new one begun: `note` then says so. FAILED_PRECONDITION: a newer version
  // wrote it. PERMISSION_DENIED, RESOURCE_EXHAUSTED, INTERNAL: as SQLite says.
  static absl::StatusOr<std::unique_ptr<SeriesFile>> Open(const Options& options, std::string* note);
  ~SeriesFile();

  SeriesFile(const SeriesFile&) = delete;
  SeriesFile& operator=(const SeriesFile&) = delete;

  // What `body` does is one transaction.
  absl::Status Transact(const std::function<absl::Status()>& body);

  // `record`: the training record's number in its generation (Progress.record), 0 where there is none. A point that the series
  // has already, or that is older than its newest, changes nothing; records that were left out on the way are counted as merged.
  absl::Status Append(uint64_t job, int64_t record, const v1::MetricPoint& point);
  absl::Status Forget(uint64_t job);

  // Up to `limit` points behind the sequence `after`, oldest first.
  absl::StatusOr<Page> Read(uint64_t job, uint64_t after, size_t limit);

 private:
  // Of a job's series, so that appending asks nothing.
  struct Tail {
    uint64_t sequence = 0;
    uint64_t generation = 0;  // of the newest training record
    int64_t record = 0;
    size_t points = 0;  // of training
  };
  enum Statement { kInsert, kTail, kCount, kRead, kForget, kAll, kDelete, kMerge, kStatements };

  SeriesFile(const Options& options, sqlite3* db) : options_(options), db_(db), statements_(kStatements) {}

  absl::Status Prepare();
  absl::Status Execute(const std::string& sql);
  absl::Status Step(sqlite3_stmt* statement, bool* row);
  absl::StatusOr<Tail*> TailOf(uint64_t job);
  absl::Status ThinOut(uint64_t job, Tail& tail);
  absl::Status Error(absl::string_view doing) const;

  const Options options_;
  sqlite3* db_;
  std::vector<sqlite3_stmt*> statements_;
  std::map<uint64_t, Tail> tails_;
};

}  // namespace pixelrec::coordinator
