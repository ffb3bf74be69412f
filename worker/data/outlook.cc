#include "worker/data/outlook.h"

#include <cmath>
#include <system_error>

#include "worker/data/csv_parser.h"
#include "worker/data/data_hash.h"
#include "worker/data/histories.h"
#include "worker/data/name_table.h"
#include "worker/data/source_file.h"
#include "worker/tokenizer/tokenizer.h"

namespace pixelrec::data {
namespace {

struct Counted {
  NameTable users;
  NameTable items;
  std::vector<uint64_t> events;  // [users]
  int64_t rows = 0;
  uint64_t bytes = 0;  // read of the file, packed as it is
};

// The first rows' events by user. CANCELLED: there are more rows.
absl::Status CountEvents(const PrepareOptions& options, const std::string& hash, int64_t max_rows, Counted& counted) {
  std::vector<CsvColumn> columns = {{"user_id"}, {"item_id"}};
  if (options.compat.columns_by_position) columns = {{"user_id", true, 2}, {"item_id", true, 3}};
  CsvParser parser(options.interaction_data.string(), std::move(columns),
                   [&](int64_t, std::span<const absl::string_view> fields) -> absl::Status {
                     if (counted.rows == max_rows) return absl::CancelledError("enough rows");
                     ++counted.rows;
                     const uint32_t user = counted.users.Intern(fields[0]);
                     if (user == counted.events.size()) counted.events.push_back(0);
                     ++counted.events[user];
                     counted.items.Intern(fields[1]);
                     return absl::OkStatus();
                   });
  return ReadCsvFile(options.interaction_data, hash, parser, [&](uint64_t bytes) { counted.bytes += bytes; });
}

absl::Status EstimateSamples(const PrepareOptions& options, const std::string& hash, int64_t max_rows, Outlook& outlook) {
  Counted counted;
  const absl::Status status = CountEvents(options, hash, max_rows, counted);
  outlook.exact = status.ok();
  if (!status.ok() && !absl::IsCancelled(status)) return status;
  std::vector<Sample> samples;
  for (size_t user = 0; user < counted.events.size(); ++user)
    AppendChunks(static_cast<uint32_t>(user), counted.events[user], options.max_seq_length, options.data_split, samples);
  double scale = 1;
  std::error_code error;
  if (!outlook.exact && counted.bytes > 0)
    scale = static_cast<double>(std::filesystem::file_size(options.interaction_data, error)) / static_cast<double>(counted.bytes);
  outlook.samples = std::llround(scale * static_cast<double>(samples.size()));
  outlook.items = static_cast<int64_t>(counted.items.size());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Outlook> LookAhead(const PrepareOptions& options, const std::vector<std::filesystem::path>& cache_dirs,
                                  int64_t max_rows) {
  const auto tokenizer = tokenizer::LoadTokenizer(options.tokenizer_dir);
  if (!tokenizer.ok()) return tokenizer.status();
  const auto hashes = HashSources(options, [](uint64_t) {});
  if (!hashes.ok()) return hashes.status();
  Outlook outlook;
  outlook.data_hash = DataHash(options, *hashes, **tokenizer);
  for (const std::filesystem::path& dir : cache_dirs) {
    auto dataset = Dataset::Open(dir / outlook.data_hash);
    if (!dataset.ok()) continue;  // absent, or damaged and to be made again
    outlook.dataset = *std::move(dataset);
    outlook.samples = static_cast<int64_t>(outlook.dataset->samples().size());
    outlook.items = outlook.dataset->num_items();
    return outlook;
  }
  if (absl::Status status = EstimateSamples(options, hashes->interactions, max_rows, outlook); !status.ok()) return status;
  return outlook;
}

}  // namespace pixelrec::data
