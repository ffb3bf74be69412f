#include "coordinator/journal/journal.h"

#include <sqlite3.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <system_error>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/process/crash_point.h"

namespace pixelrec::coordinator {

namespace {

// "PxRJ": tells a journal from any other SQLite file.
constexpr int kApplicationId = 0x5078524a;
constexpr int kSchemaVersion = 1;

constexpr char kSchema[] =
    "CREATE TABLE IF NOT EXISTS record ("
    "  sequence INTEGER PRIMARY KEY,"
    "  is_snapshot INTEGER NOT NULL,"
    "  checksum INTEGER NOT NULL,"
    "  data BLOB NOT NULL)";

int64_t Checksum(absl::string_view data, int64_t sequence) {
  return static_cast<int64_t>(XXH3_64bits_withSeed(data.data(), data.size(), static_cast<XXH64_hash_t>(sequence)));
}

absl::Status Damaged(const std::filesystem::path& path, absl::string_view what) {
  return absl::DataLossError(absl::StrCat("journal ", path.string(), " is damaged: ", what,
                                          ". To repair it, put back a copy of the file, or try `sqlite3 ",
                                          path.filename().string(),
                                          " .recover | sqlite3 new.db`; to start empty, move it and its -wal file away (what "
                                          "only the journal knows, jobs and their history, "
                                          "is lost; checkpoints are not)"));
}

absl::Status FromSqlite(int code, const std::filesystem::path& path, absl::string_view doing, absl::string_view message) {
  const std::string text = absl::StrCat("journal ", path.string(), ": ", doing, ": ", message);
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::UnavailableError(absl::StrCat("another coordinator uses the state directory ", path.parent_path().string(),
                                                 ": stop it, or give this one its own --state-dir"));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Damaged(path, message);
    case SQLITE_FULL:
    case SQLITE_NOMEM:
      return absl::ResourceExhaustedError(absl::StrCat(text, ": free some space on its file system"));
    case SQLITE_IOERR:
      return absl::ResourceExhaustedError(absl::StrCat(text, ": the disk refuses (error ", code, "); see dmesg"));
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
      return absl::PermissionDeniedError(absl::StrCat(text, ": the state directory must exist and be writable"));
    default:
      return absl::InternalError(text);
  }
}

// One integer answer of a PRAGMA or SELECT.
absl::StatusOr<int64_t> QueryInt(sqlite3* db, const std::filesystem::path& path, const char* sql) {
  sqlite3_stmt* statement = nullptr;
  int code = sqlite3_prepare_v2(db, sql, -1, &statement, nullptr);
  absl::Cleanup finalize = [&] { sqlite3_finalize(statement); };
  if (code == SQLITE_OK) {
    code = sqlite3_step(statement);
  }
  if (code == SQLITE_ROW) {
    return sqlite3_column_int64(statement, 0);
  }
  return code == SQLITE_DONE ? absl::StatusOr<int64_t>(0)
                             : FromSqlite(sqlite3_extended_errcode(db), path, sql, sqlite3_errmsg(db));
}

absl::Status CheckStructure(sqlite3* db, const std::filesystem::path& path) {
  sqlite3_stmt* statement = nullptr;
  absl::Cleanup finalize = [&] { sqlite3_finalize(statement); };
  if (sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, nullptr) != SQLITE_OK ||
      sqlite3_step(statement) != SQLITE_ROW) {
    return FromSqlite(sqlite3_extended_errcode(db), path, "check", sqlite3_errmsg(db));
  }
  const char* verdict = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
  if (verdict == nullptr || absl::string_view(verdict) != "ok") {
    return Damaged(path, verdict == nullptr ? "no verdict" : verdict);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Journal>> Journal::Open(const Options& options) {
  sqlite3* db = nullptr;
  const int code =
      sqlite3_open_v2(options.path.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  std::unique_ptr<Journal> journal(new Journal(options, db));
  if (code != SQLITE_OK) {
    return FromSqlite(code, options.path, "open", db != nullptr ? sqlite3_errmsg(db) : "out of memory");
  }
  if (absl::Status status = journal->Prepare(); !status.ok()) {
    return status;
  }
  process::CrashPoint("journal.opened");
  return journal;
}

Journal::~Journal() {
  sqlite3_finalize(insert_);
  sqlite3_close(db_);
}

absl::Status Journal::Prepare() {
  sqlite3_extended_result_codes(db_, 1);
  // EXCLUSIVE comes before WAL: then SQLite keeps the WAL index in memory, and the file lock from the first transaction to the
  // end.
  for (const char* sql :
       {"PRAGMA locking_mode=EXCLUSIVE", "PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "BEGIN EXCLUSIVE", "COMMIT"}) {
    if (absl::Status status = Execute(sql); !status.ok()) {
      return status;
    }
  }
  absl::StatusOr<int64_t> application = QueryInt(db_, options_.path, "PRAGMA application_id");
  absl::StatusOr<int64_t> version = QueryInt(db_, options_.path, "PRAGMA user_version");
  absl::StatusOr<int64_t> tables = QueryInt(db_, options_.path, "SELECT count(*) FROM sqlite_master");
  if (!application.ok() || !version.ok() || !tables.ok()) {
    return !application.ok() ? application.status() : !version.ok() ? version.status() : tables.status();
  }
  if (*tables > 0 && *application != kApplicationId) {
    return absl::FailedPreconditionError(absl::StrCat(options_.path.string(), " is not a journal of pixelrec-coordinator"));
  }
  if (*version > kSchemaVersion) {
    return absl::FailedPreconditionError(absl::StrCat("journal ", options_.path.string(), " has format ", *version,
                                                      ", this version reads up to ", kSchemaVersion,
                                                      ": use the newer coordinator"));
  }
  if (absl::Status status = CheckStructure(db_, options_.path); !status.ok()) {
    return status;
  }
  if (*tables == 0) {
    const std::string stamp = absl::StrCat("BEGIN;", kSchema, ";PRAGMA application_id=", kApplicationId,
                                           ";PRAGMA user_version=", kSchemaVersion, ";COMMIT");
    if (absl::Status status = Execute(stamp.c_str()); !status.ok()) {
      return status;
    }
  }
  if (options_.max_bytes > 0) {
    absl::StatusOr<int64_t> page = QueryInt(db_, options_.path, "PRAGMA page_size");
    if (!page.ok()) {
      return page.status();
    }
    if (absl::Status status = Execute(absl::StrCat("PRAGMA max_page_count=", options_.max_bytes / *page).c_str()); !status.ok()) {
      return status;
    }
  }
  absl::StatusOr<int64_t> last = QueryInt(db_, options_.path, "SELECT max(sequence) FROM record");
  absl::StatusOr<int64_t> tail = QueryInt(db_, options_.path, "SELECT count(*) FROM record WHERE is_snapshot = 0");
  if (!last.ok() || !tail.ok()) {
    return last.ok() ? tail.status() : last.status();
  }
  last_sequence_ = *last;
  tail_length_ = *tail;
  if (sqlite3_prepare_v3(db_, "INSERT INTO record VALUES (?1, ?2, ?3, ?4)", -1, SQLITE_PREPARE_PERSISTENT, &insert_, nullptr) !=
      SQLITE_OK) {
    return Error("prepare");
  }
  return absl::OkStatus();
}

absl::Status Journal::Error(absl::string_view doing) const {
  return FromSqlite(sqlite3_extended_errcode(db_), options_.path, doing, sqlite3_errmsg(db_));
}

absl::Status Journal::Execute(const char* sql) {
  return sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) == SQLITE_OK ? absl::OkStatus() : Error(sql);
}

absl::Status Journal::Transact(const std::function<absl::Status()>& body) {
  if (absl::Status status = Execute("BEGIN IMMEDIATE"); !status.ok()) {
    return status;
  }
  absl::Status status = body();
  if (status.ok()) {
    status = Execute("COMMIT");
  }
  if (!status.ok() && sqlite3_get_autocommit(db_) == 0) {
    sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
  }
  return status;
}

absl::Status Journal::Insert(const std::vector<std::string>& records, int is_snapshot, int64_t* sequence) {
  for (const std::string& record : records) {
    ++*sequence;
    sqlite3_bind_int64(insert_, 1, *sequence);
    sqlite3_bind_int(insert_, 2, is_snapshot);
    sqlite3_bind_int64(insert_, 3, Checksum(record, *sequence));
    sqlite3_bind_blob64(insert_, 4, record.data(), record.size(), SQLITE_STATIC);
    const int code = sqlite3_step(insert_);
    absl::Status status = code == SQLITE_DONE ? absl::OkStatus() : Error("append");
    sqlite3_reset(insert_);
    sqlite3_clear_bindings(insert_);
    if (!status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

absl::Status Journal::Append(const std::vector<std::string>& records) {
  int64_t sequence = last_sequence_;
  absl::Status status = Transact([&] {
    process::CrashPoint("append.begun");
    absl::Status inserted = Insert(records, 0, &sequence);
    process::CrashPoint("append.inserted");
    return inserted;
  });
  if (status.ok()) {
    process::CrashPoint("append.committed");
    last_sequence_ = sequence;
    tail_length_ += static_cast<int64_t>(records.size());
  }
  return status;
}

absl::Status Journal::Compact(const std::vector<std::string>& snapshot) {
  int64_t sequence = last_sequence_;
  absl::Status status = Transact([&] {
    absl::Status written = Execute("DELETE FROM record");
    process::CrashPoint("compact.cleared");
    if (written.ok()) written = Insert(snapshot, 1, &sequence);
    process::CrashPoint("compact.inserted");
    return written;
  });
  if (status.ok()) {
    last_sequence_ = sequence;
    tail_length_ = 0;
    process::CrashPoint("compact.committed");
    // Only tidiness: a log that can't be cut short now is cut short later.
    sqlite3_wal_checkpoint_v2(db_, nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
    process::CrashPoint("compact.checkpointed");
  }
  return status;
}

absl::Status Journal::Replay(const std::function<absl::Status(absl::string_view)>& apply) {
  sqlite3_stmt* statement = nullptr;
  absl::Cleanup finalize = [&] { sqlite3_finalize(statement); };
  if (sqlite3_prepare_v2(db_, "SELECT sequence, checksum, data FROM record ORDER BY sequence", -1, &statement, nullptr) !=
      SQLITE_OK) {
    return Error("replay");
  }
  int64_t expected = 0;
  int code;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
    const int64_t sequence = sqlite3_column_int64(statement, 0);
    const auto* data = static_cast<const char*>(sqlite3_column_blob(statement, 2));
    const absl::string_view bytes(data, static_cast<size_t>(sqlite3_column_bytes(statement, 2)));
    if (sqlite3_column_int64(statement, 1) != Checksum(bytes, sequence)) {
      return Damaged(options_.path, absl::StrCat("record ", sequence, " fails its checksum"));
    }
    if (expected != 0 && sequence != expected) {
      return Damaged(options_.path, absl::StrCat("record ", expected, " is missing"));
    }
    expected = sequence + 1;
    if (absl::Status status = apply(bytes); !status.ok()) {
      return absl::IsDataLoss(status) ? Damaged(options_.path, absl::StrCat("record ", sequence, ": ", status.message()))
                                      : status;
    }
  }
  return code == SQLITE_DONE ? absl::OkStatus() : Error("replay");
}

int64_t Journal::SizeBytes() const {
  std::error_code ignored;
  int64_t total = 0;
  for (const char* suffix : {"", "-wal"}) {
    const auto size = std::filesystem::file_size(options_.path.string() + suffix, ignored);
    total += ignored ? 0 : static_cast<int64_t>(size);
  }
  return total;
}

}  // namespace pixelrec::coordinator
