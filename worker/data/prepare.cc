#include "worker/data/prepare.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/storage/atomic_file.h"
#include "worker/data/data_hash.h"
#include "worker/data/dataset.h"
#include "worker/data/dataset_builder.h"
#include "worker/data/dataset_format.h"
#include "worker/data/prepare_report.h"
#include "worker/data/sources.h"
#include "worker/data/staging_folder.h"
#include "worker/tokenizer/tokenizer.h"
#include "worker/tokenizer/utf8.h"

namespace pixelrec::data {
namespace {

namespace fs = std::filesystem;

// Shares of the whole that hashing and reading, tokenising, and writing take, roughly.
constexpr double kReadShare = 0.4;
constexpr double kTokenizeShare = 0.5;
// Calls are spaced by progress made, not by a clock: about 200 in all.
constexpr double kProgressStep = 0.005;

struct SourceSizes {
  double interactions = 0;  // and item_data
  double texts = 0;
};

class Progress {
 public:
  Progress(const PrepareOptions& options, SourceSizes sizes)
      : callback_(options.progress), to_read_(2 * sizes.interactions + sizes.texts), to_tokenize_(sizes.texts) {}

  // Of hashing all sources, and of reading the interactions.
  void Read(uint64_t bytes) {
    read_ += static_cast<double>(bytes);
    Report("read", kReadShare * Share(read_, to_read_));
  }
  void Tokenized(uint64_t bytes) {
    tokenized_ += static_cast<double>(bytes);
    Report("tokenize", kReadShare + kTokenizeShare * Share(tokenized_, to_tokenize_));
  }
  void Writing() { Report("write", kReadShare + kTokenizeShare); }
  void Done() { Report("write", 1.0); }

 private:
  static double Share(double done, double all) { return all > 0 ? std::min(done / all, 1.0) : 1; }

  void Report(const char* section, double fraction) {
    const bool worth_it = section != section_ || fraction >= last_ + kProgressStep || fraction == 1.0;
    if (!callback_ || !worth_it) return;
    section_ = section;
    last_ = fraction;
    callback_(section, fraction);
  }

  const std::function<void(const std::string&, double)>& callback_;
  const double to_read_;
  const double to_tokenize_;
  double read_ = 0;
  double tokenized_ = 0;
  std::string section_;
  double last_ = 0;
};

absl::Status CheckOptions(const PrepareOptions& options) {
  if (options.text_keys.empty()) return absl::InvalidArgumentError("text_keys: name at least one column of the text file");
  if (options.max_seq_length < 2) return absl::InvalidArgumentError("max_seq_length: must be at least 2");
  if (options.max_text_length < 1) return absl::InvalidArgumentError("max_text_length: must be at least 1");
  if (!tokenizer::IsUtf8(options.item_prompt)) return absl::InvalidArgumentError("item_prompt: not UTF-8");
  return absl::OkStatus();
}

SourceSizes SizesOf(const PrepareOptions& options) {
  auto size = [](const fs::path& file) {
    std::error_code error;
    const uintmax_t bytes = fs::file_size(file, error);
    return error ? 0.0 : static_cast<double>(bytes);
  };
  return {size(options.interaction_data) + (options.item_data ? size(*options.item_data) : 0), size(options.text_data)};
}

// The report of a sound dataset at `path`; any error means that there is none.
absl::StatusOr<PrepareReport> FindPrepared(const fs::path& path, const std::string& data_hash) {
  absl::StatusOr<std::unique_ptr<Dataset>> dataset = Dataset::Open(path);
  if (!dataset.ok()) return dataset.status();
  absl::StatusOr<std::string> text = storage::ReadFile(path / kReportFile);
  if (!text.ok()) return text.status();
  absl::StatusOr<PrepareReport> report = ParseReport(*text);
  if (!report.ok()) return report.status();
  if ((*dataset)->data_hash() != data_hash || report->data_hash != data_hash) {
    return absl::DataLossError(absl::StrCat(path.string(), ": the folder holds another dataset than its name says"));
  }
  report->path = path;
  report->reused = true;
  return report;
}

absl::Status WriteReports(const PrepareOptions& options, const PrepareReport& report, const DatasetStatistics& statistics,
                          const fs::path& folder) {
  const ReportHead head = HeadOf(report, options.max_text_length);
  absl::Status status = storage::WriteFileAtomically(folder / kReportFile, FormatReport(report, statistics));
  if (!status.ok()) return status;
  status = storage::WriteFileAtomically(folder / kTextReportFile, RenderText(head, statistics));
  if (!status.ok()) return status;
  return storage::WriteFileAtomically(folder / kHtmlReportFile, RenderHtml(head, statistics));
}

}  // namespace

absl::StatusOr<PrepareReport> Prepare(const PrepareOptions& options) {
  const auto started = std::chrono::steady_clock::now();
  auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count(); };
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  absl::StatusOr<std::unique_ptr<tokenizer::Tokenizer>> tokenizer = tokenizer::LoadTokenizer(options.tokenizer_dir);
  if (!tokenizer.ok()) return tokenizer.status();
  Progress progress(options, SizesOf(options));
  absl::StatusOr<SourceHashes> hashes = HashSources(options, [&](uint64_t bytes) { progress.Read(bytes); });
  if (!hashes.ok()) return hashes.status();
  const std::string data_hash = DataHash(options, *hashes, **tokenizer);
  const fs::path path = options.cache_dir / data_hash;

  absl::StatusOr<PrepareReport> prepared = FindPrepared(path, data_hash);
  if (!prepared.ok()) {
    PrepareReport report;
    report.data_hash = data_hash;
    report.path = path;
    absl::StatusOr<std::unique_ptr<StagingFolder>> staging = StagingFolder::Create(options.cache_dir, data_hash);
    if (!staging.ok()) return staging.status();
    const BuildProgress build_progress{[&](uint64_t bytes) { progress.Read(bytes); },
                                       [&](uint64_t bytes) { progress.Tokenized(bytes); }};
    absl::StatusOr<BuiltDataset> built = BuildDataset(options, *hashes, **tokenizer, build_progress, report);
    if (!built.ok()) return built.status();
    progress.Writing();
    absl::Status status =
        WriteDataset(built->Content(options, data_hash, (*tokenizer)->vocab_size()), (*staging)->path() / kDatasetFile);
    if (!status.ok()) return status;
    report.seconds = elapsed();
    if (status = WriteReports(options, report, built->statistics, (*staging)->path()); !status.ok()) return status;
    // Another process may have been faster: its folder stays, for trainers may be reading it already.
    const absl::StatusOr<storage::UniqueFd> lock = LockForPublishing(options.cache_dir);
    if (!lock.ok()) return lock.status();
    prepared = FindPrepared(path, data_hash);
    if (!prepared.ok()) {
      if (status = (*staging)->Publish(path); !status.ok()) return status;
      prepared = report;
    }
  }
  prepared->seconds = elapsed();
  progress.Done();
  return prepared;
}

}  // namespace pixelrec::data
