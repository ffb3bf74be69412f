// Durable records in order, in one SQLite file. Knows bytes, not their meaning.
//
// Exactly one process may have a journal open; a second one gets UNAVAILABLE. Every stored blob carries a checksum,
// checked on replay. Threads: one at a time. Blocking: Append and Compact wait for the disk.
//
//   auto journal = Journal::Open({.path = dir / "journal.db"});
//   (*journal)->Replay([&](absl::string_view bytes) { return state.Apply(bytes); });
//   (*journal)->Append({bytes1, bytes2});   // one transaction, one fsync
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "coordinator/journal/record_log.h"

struct sqlite3;
struct sqlite3_stmt;

namespace pixelrec::coordinator {

class Journal final : public RecordLog {
 public:
  struct Options {
    std::filesystem::path path;  // the database file; its folder exists
    int64_t max_bytes = 0;       // refuse to grow beyond this; 0: as the disk allows
  };

  // FAILED_PRECONDITION: another process has it open, or a newer version wrote it. DATA_LOSS: it is damaged; the message says how
  // to repair it. PERMISSION_DENIED, RESOURCE_EXHAUSTED, INTERNAL: as SQLite says.
  static absl::StatusOr<std::unique_ptr<Journal>> Open(const Options& options);
  ~Journal() override;

  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  absl::Status Replay(const std::function<absl::Status(absl::string_view)>& apply) override;
  absl::Status Append(const std::vector<std::string>& records) override;
  absl::Status Compact(const std::vector<std::string>& snapshot) override;
  int64_t tail_length() const override { return tail_length_; }
  // Of the database and its write-ahead log on disk.
  int64_t SizeBytes() const override;

 private:
  Journal(const Options& options, sqlite3* db) : options_(options), db_(db) {}

  absl::Status Prepare();
  absl::Status Execute(const char* sql);
  absl::Status Insert(const std::vector<std::string>& records, int is_snapshot, int64_t* sequence);
  absl::Status Transact(const std::function<absl::Status()>& body);
  absl::Status Error(absl::string_view doing) const;

  const Options options_;
  sqlite3* db_;
  sqlite3_stmt* insert_ = nullptr;
  int64_t last_sequence_ = 0;
  int64_t tail_length_ = 0;
};

}  // namespace pixelrec::coordinator
