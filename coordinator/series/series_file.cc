#include "coordinator/series/series_file.h"

#include <sqlite3.h>

#include <algorithm>
#include <iterator>
#include <system_error>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "coordinator/series/thinning.h"

namespace pixelrec::coordinator {

namespace {

// "PxRM".
constexpr int kApplicationId = 0x5078524d;
constexpr int kSchemaVersion = 1;
// Jobs whose tail is remembered; those of others are read again when they come.
constexpr size_t kMaxTails = 1024;

// `record`: 0 in a point of evaluations alone, and of a trainer that doesn't number its records.
constexpr char kSchema[] =
    "CREATE TABLE point (job INTEGER NOT NULL, sequence INTEGER NOT NULL, generation INTEGER NOT NULL, record INTEGER NOT NULL,"
    " trains INTEGER NOT NULL, merged INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (job, sequence)) WITHOUT ROWID";

// In the order of SeriesFile::Statement.
constexpr const char* kSql[] = {
    "INSERT INTO point VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    "SELECT sequence, generation, record FROM point WHERE job = ?1 AND trains ORDER BY sequence DESC LIMIT 1",
    "SELECT ifnull(max(sequence), 0), ifnull(sum(trains), 0) FROM point WHERE job = ?1",
    "SELECT merged, data FROM point WHERE job = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3",
    "DELETE FROM point WHERE job = ?1",
    "SELECT sequence, merged FROM point WHERE job = ?1 AND trains ORDER BY sequence",
    "DELETE FROM point WHERE job = ?1 AND sequence = ?2",
    "UPDATE point SET merged = ?3 WHERE job = ?1 AND sequence = ?2",
};

void Bind(sqlite3_stmt* statement, std::initializer_list<uint64_t> values) {
  int index = 0;
  for (const uint64_t value : values) {
    sqlite3_bind_int64(statement, ++index, static_cast<sqlite3_int64>(value));
  }
}

}  // namespace

absl::Status SeriesFile::Error(absl::string_view doing) const {
  const int code = sqlite3_extended_errcode(db_);
  const std::string text = absl::StrCat("metrics file ", options_.path.string(), ": ", doing, ": ", sqlite3_errmsg(db_));
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::DataLossError(
          absl::StrCat(text, ": stop the coordinator and move the file away; only the curves of past training are lost"));
    case SQLITE_FULL:
    case SQLITE_NOMEM:
    case SQLITE_IOERR:
      return absl::ResourceExhaustedError(absl::StrCat(text, ": free some space on its file system"));
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
      return absl::PermissionDeniedError(absl::StrCat(text, ": the state directory must exist and be writable"));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::UnavailableError(absl::StrCat(text, ": another process uses it"));
    default:
      return absl::InternalError(text);
  }
}

absl::StatusOr<std::unique_ptr<SeriesFile>> SeriesFile::Open(const Options& options, std::string* note) {
  for (const bool again : {false, true}) {
    sqlite3* db = nullptr;
    const int code =
        sqlite3_open_v2(options.path.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
    std::unique_ptr<SeriesFile> file(new SeriesFile(options, db));
    absl::Status status = code == SQLITE_OK ? file->Prepare() : file->Error("open");
    if (status.ok()) {
      return file;
    }
    if (again || !absl::IsDataLoss(status)) {
      return status;
    }
    file.reset();
    std::error_code error;
    std::filesystem::rename(options.path, options.path.string() + ".damaged", error);
    for (const char* rest : {"-wal", "-shm"}) {
      std::error_code ignored;
      std::filesystem::remove(options.path.string() + rest, ignored);
    }
    if (error) {
      return status;
    }
    *note = absl::StrCat("metrics file ", options.path.string(), " was damaged and lies beside, as .damaged: the curves of past ",
                         "training are lost, nothing else is");
  }
  return absl::InternalError("not reached");
}

SeriesFile::~SeriesFile() {
  for (sqlite3_stmt* statement : statements_) {
    sqlite3_finalize(statement);
  }
  sqlite3_close(db_);
}

absl::Status SeriesFile::Prepare() {
  sqlite3_extended_result_codes(db_, 1);
  // NORMAL: the disk is waited for when the log is folded in, not for each batch.
  for (const char* sql :
       {"PRAGMA page_size=4096", "PRAGMA locking_mode=EXCLUSIVE", "PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL"}) {
    if (absl::Status status = Execute(sql); !status.ok()) {
      return status;
    }
  }
  int64_t found[2] = {};  // application, version
  const char* const questions[2] = {"PRAGMA application_id", "PRAGMA user_version"};
  for (int i = 0; i < 2; ++i) {
    sqlite3_stmt* statement = nullptr;
    absl::Cleanup finalize = [&] { sqlite3_finalize(statement); };
    if (sqlite3_prepare_v2(db_, questions[i], -1, &statement, nullptr) != SQLITE_OK || sqlite3_step(statement) != SQLITE_ROW) {
      return Error(questions[i]);
    }
    found[i] = sqlite3_column_int64(statement, 0);
  }
  if (found[0] == 0) {
    const std::string stamp = absl::StrCat("BEGIN;", kSchema, ";PRAGMA application_id=", kApplicationId,
                                           ";PRAGMA user_version=", kSchemaVersion, ";COMMIT");
    if (absl::Status status = Execute(stamp); !status.ok()) {
      return status;
    }
  } else if (found[0] != kApplicationId || found[1] > kSchemaVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("metrics file ", options_.path.string(), " is of another program or a newer coordinator: move it away"));
  }
  if (options_.max_bytes > 0) {
    constexpr int64_t kPageBytes = 4096;
    if (absl::Status status = Execute(absl::StrCat("PRAGMA max_page_count=", options_.max_bytes / kPageBytes)); !status.ok()) {
      return status;
    }
  }
  static_assert(std::size(kSql) == kStatements);
  for (size_t i = 0; i < kStatements; ++i) {
    if (sqlite3_prepare_v3(db_, kSql[i], -1, SQLITE_PREPARE_PERSISTENT, &statements_[i], nullptr) != SQLITE_OK) {
      return Error(kSql[i]);
    }
  }
  return absl::OkStatus();
}

absl::Status SeriesFile::Execute(const std::string& sql) {
  return sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK ? absl::OkStatus() : Error(sql);
}

// `row`: whether there is one to read; after the last, or an error, the statement is ready for its next use.
absl::Status SeriesFile::Step(sqlite3_stmt* statement, bool* row) {
  const int code = sqlite3_step(statement);
  *row = code == SQLITE_ROW;
  if (*row) {
    return absl::OkStatus();
  }
  const absl::Status status = code == SQLITE_DONE ? absl::OkStatus() : Error(sqlite3_sql(statement));
  sqlite3_reset(statement);
  return status;
}

absl::Status SeriesFile::Transact(const std::function<absl::Status()>& body) {
  if (absl::Status status = Execute("BEGIN IMMEDIATE"); !status.ok()) {
    return status;
  }
  absl::Status status = body();
  if (status.ok()) {
    status = Execute("COMMIT");
  }
  if (!status.ok()) {
    tails_.clear();  // they may tell of what is undone now
    if (sqlite3_get_autocommit(db_) == 0) {
      sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
    }
  }
  return status;
}

absl::StatusOr<SeriesFile::Tail*> SeriesFile::TailOf(uint64_t job) {
  if (auto it = tails_.find(job); it != tails_.end()) {
    return &it->second;
  }
  Tail tail;
  bool row = false;
  Bind(statements_[kCount], {job});
  if (absl::Status status = Step(statements_[kCount], &row); !status.ok()) {
    return status;
  }
  tail.sequence = static_cast<uint64_t>(sqlite3_column_int64(statements_[kCount], 0));
  tail.points = static_cast<size_t>(sqlite3_column_int64(statements_[kCount], 1));
  sqlite3_reset(statements_[kCount]);
  Bind(statements_[kTail], {job});
  if (absl::Status status = Step(statements_[kTail], &row); !status.ok()) {
    return status;
  }
  if (row) {
    tail.generation = static_cast<uint64_t>(sqlite3_column_int64(statements_[kTail], 1));
    tail.record = sqlite3_column_int64(statements_[kTail], 2);
    sqlite3_reset(statements_[kTail]);
  }
  if (tails_.size() >= kMaxTails) {
    tails_.clear();
  }
  return &(tails_[job] = tail);
}

absl::Status SeriesFile::Append(uint64_t job, int64_t record, const v1::MetricPoint& point) {
  absl::StatusOr<Tail*> found = TailOf(job);
  if (!found.ok()) {
    return found.status();
  }
  Tail& tail = **found;
  const int64_t before = point.generation() == tail.generation ? tail.record : 0;
  const bool numbered = point.has_training() && record > 0;
  if (point.sequence() <= tail.sequence || (numbered && record <= before)) {
    return absl::OkStatus();
  }
  const int64_t merged = numbered ? record - before - 1 : 0;
  v1::MetricPoint stored = point;
  stored.clear_merged();
  const std::string bytes = stored.SerializeAsString();
  sqlite3_stmt* const insert = statements_[kInsert];
  Bind(insert, {job, point.sequence(), point.generation(), static_cast<uint64_t>(record), point.has_training() ? 1U : 0U,
                static_cast<uint64_t>(merged)});
  sqlite3_bind_blob64(insert, 7, bytes.data(), bytes.size(), SQLITE_STATIC);
  bool row = false;
  const absl::Status status = Step(insert, &row);
  sqlite3_clear_bindings(insert);
  if (!status.ok()) {
    return status;
  }
  tail.sequence = point.sequence();
  if (point.has_training()) {
    tail.generation = point.generation();
    tail.record = record;
    ++tail.points;
  }
  return tail.points > options_.max_points ? ThinOut(job, tail) : absl::OkStatus();
}

absl::Status SeriesFile::ThinOut(uint64_t job, Tail& tail) {
  std::vector<SeriesRecord> records;
  Bind(statements_[kAll], {job});
  for (bool row = true; row;) {
    if (absl::Status status = Step(statements_[kAll], &row); !status.ok()) {
      return status;
    }
    if (row) {
      records.push_back({.sequence = static_cast<uint64_t>(sqlite3_column_int64(statements_[kAll], 0)),
                         .merged = sqlite3_column_int64(statements_[kAll], 1)});
    }
  }
  // Half: then it is a long time until the next.
  const std::vector<SeriesRecord> kept = Thin(records, std::max<size_t>(1, options_.max_points / 2));
  auto next = kept.begin();
  for (const SeriesRecord& record : records) {
    const bool stays = next != kept.end() && next->sequence == record.sequence;
    bool row = false;
    if (stays && next->merged != record.merged) {
      Bind(statements_[kMerge], {job, record.sequence, static_cast<uint64_t>(next->merged)});
      if (absl::Status status = Step(statements_[kMerge], &row); !status.ok()) {
        return status;
      }
    } else if (!stays) {
      Bind(statements_[kDelete], {job, record.sequence});
      if (absl::Status status = Step(statements_[kDelete], &row); !status.ok()) {
        return status;
      }
    }
    next += stays ? 1 : 0;
  }
  tail.points = kept.size();
  return absl::OkStatus();
}

absl::Status SeriesFile::Forget(uint64_t job) {
  tails_.erase(job);
  Bind(statements_[kForget], {job});
  bool row = false;
  return Step(statements_[kForget], &row);
}

absl::StatusOr<SeriesFile::Page> SeriesFile::Read(uint64_t job, uint64_t after, size_t limit) {
  Page page;
  // A sequence beyond what SQLite counts to has nothing behind it.
  after = std::min<uint64_t>(after, INT64_MAX);
  sqlite3_stmt* const read = statements_[kRead];
  Bind(read, {job, after, limit + 1});
  for (bool row = true; row;) {
    if (absl::Status status = Step(read, &row); !status.ok()) {
      return status;
    }
    if (row && page.points.size() == limit) {
      page.more = true;
      sqlite3_reset(read);
      break;
    }
    if (row) {
      v1::MetricPoint& point = page.points.emplace_back();
      if (!point.ParseFromArray(sqlite3_column_blob(read, 1), sqlite3_column_bytes(read, 1))) {
        sqlite3_reset(read);
        return absl::DataLossError(
            absl::StrCat("metrics file ", options_.path.string(), ": a point of job number ", job, " can't be read"));
      }
      point.set_merged(sqlite3_column_int64(read, 0));
    }
  }
  return page;
}

}  // namespace pixelrec::coordinator
