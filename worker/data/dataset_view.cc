#include "worker/data/dataset_view.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "worker/data/common_prefix.h"
#include "xxhash.h"

namespace pixelrec::data {
namespace {

constexpr const char* kSectionNames[kSectionCount] = {
    "token offsets", "tokens",       "history offsets", "history",       "times",       "samples",      "evaluated users",
    "train counts",  "item offsets", "item names",      "title offsets", "item titles", "user offsets", "user names"};

absl::Status Damaged(absl::string_view what) {
  return absl::DataLossError(absl::StrCat(what, "; remove the folder and submit the job again to prepare it anew"));
}

absl::Status CheckHeader(const DatasetHeader& header, size_t file_bytes) {
  if (std::memcmp(header.magic, kDatasetMagic, sizeof(kDatasetMagic)) != 0) return Damaged("not a prepared dataset");
  if (header.version != kFormatVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("format version ", header.version, ", this program reads ", kFormatVersion));
  }
  if (header.header_xxh3 != XXH3_64bits(&header, offsetof(DatasetHeader, header_xxh3))) return Damaged("the header is damaged");
  if (header.section_count != kSectionCount) return Damaged("the header has another number of sections");
  if (header.file_bytes != file_bytes) {
    return Damaged(absl::StrCat("the file has ", file_bytes, " bytes, its header says ", header.file_bytes));
  }
  const bool sane = header.train_items <= header.items && header.items < UINT32_MAX && header.users < UINT32_MAX &&
                    header.vocab_size >= 0 && header.max_seq_length >= 2 && header.max_text_length >= 1;
  return sane ? absl::OkStatus() : Damaged("the header's counts contradict each other");
}

// Takes typed sections out of the file, each checked for place, size and checksum; remembers the first damage.
class SectionReader {
 public:
  SectionReader(absl::string_view bytes, const DatasetHeader& header) : bytes_(bytes), header_(header) {}

  template <typename T>
  std::span<const T> Take(Section section) {
    const SectionEntry& entry = header_.sections[section];
    const bool inside = entry.offset % kSectionAlignment == 0 && entry.offset >= sizeof(DatasetHeader) &&
                        entry.offset <= bytes_.size() && entry.bytes <= bytes_.size() - entry.offset;
    if (!inside || entry.bytes % sizeof(T) != 0) {
      Fail(section, "doesn't lie inside the file");
      return {};
    }
    const char* begin = bytes_.data() + entry.offset;
    if (XXH3_64bits(begin, entry.bytes) != entry.xxh3) Fail(section, "is damaged (checksum)");
    return {reinterpret_cast<const T*>(begin), entry.bytes / sizeof(T)};
  }

  template <typename T>
  std::span<const T> Take(Section section, uint64_t count) {
    const std::span<const T> values = Take<T>(section);
    if (values.size() != count) Fail(section, "has the wrong size");
    return values;
  }

  template <typename T>
  Csr<T> TakeCsr(Section offsets, Section values, uint64_t rows) {
    Csr<T> csr{Take<uint64_t>(offsets, rows + 1), Take<T>(values)};
    if (!status_.ok()) return csr;
    const bool ascending = csr.offsets.front() == 0 && csr.offsets.back() == csr.values.size() &&
                           std::is_sorted(csr.offsets.begin(), csr.offsets.end());
    if (!ascending) Fail(offsets, "don't ascend from 0 to the end");
    return csr;
  }

  void Fail(Section section, absl::string_view what) {
    if (status_.ok()) status_ = Damaged(absl::StrCat("section \"", kSectionNames[section], "\" ", what));
  }

  const absl::Status& status() const { return status_; }

 private:
  absl::string_view bytes_;
  const DatasetHeader& header_;
  absl::Status status_;
};

bool AllWithin(std::span<const uint32_t> values, uint32_t low, uint32_t high) {
  // Written so that the compiler vectorises it: these are the longest arrays of the file.
  uint32_t lowest = UINT32_MAX;
  uint32_t highest = 0;
  for (uint32_t value : values) {
    lowest = std::min(lowest, value);
    highest = std::max(highest, value);
  }
  return values.empty() || (lowest >= low && highest <= high);
}

bool SampleFits(const DatasetView& view, const Sample& sample) {
  if (sample.user >= view.header.users) return false;
  const uint64_t events = view.history.row(sample.user).size();
  return sample.length >= 2 && sample.length <= static_cast<uint32_t>(view.header.max_seq_length) &&
         uint64_t{sample.start} + sample.length + 2 <= events;  // the last two events are targets (rule D6)
}

void CheckContent(const DatasetView& view, SectionReader& reader) {
  const DatasetHeader& header = view.header;
  if (header.vocab_size == 0 ? !view.tokens.values.empty()
                             : !AllWithin(view.tokens.values, 0, static_cast<uint32_t>(header.vocab_size) - 1)) {
    reader.Fail(kTokens, "has ids beyond the vocabulary");
  }
  if (!AllWithin(view.history.values, 1, header.train_items)) reader.Fail(kHistory, "names items that don't exist");
  for (const Sample& sample : view.samples) {
    if (!SampleFits(view, sample)) {
      reader.Fail(kSamples, "reaches outside a user's train part");
      break;
    }
  }
  uint64_t next = 0;
  for (uint32_t user : view.eval_users) {
    if (user < next || user >= header.users || view.history.row(user).size() < 3) {
      reader.Fail(kEvalUsers, "names users that don't fit");
      break;
    }
    next = uint64_t{user} + 1;
  }
}

}  // namespace

absl::StatusOr<DatasetView> ParseDataset(absl::string_view bytes) {
  DatasetView view;
  if (bytes.size() < sizeof(DatasetHeader)) return Damaged("the file is shorter than its header");
  std::memcpy(&view.header, bytes.data(), sizeof(DatasetHeader));
  const DatasetHeader& header = view.header;
  if (absl::Status status = CheckHeader(header, bytes.size()); !status.ok()) return status;

  SectionReader reader(bytes, header);
  view.tokens = reader.TakeCsr<uint32_t>(kTokenOffsets, kTokens, header.items);
  view.history = reader.TakeCsr<uint32_t>(kHistoryOffsets, kHistory, header.users);
  view.times = {view.history.offsets, reader.Take<int64_t>(kTimes, view.history.values.size())};
  view.samples = reader.Take<Sample>(kSamples);
  view.eval_users = reader.Take<uint32_t>(kEvalUsers);
  view.train_counts = reader.Take<uint32_t>(kTrainCounts, uint64_t{header.items} + 1);
  view.item_names = reader.TakeCsr<char>(kItemNameOffsets, kItemNames, header.items);
  view.item_titles = reader.TakeCsr<char>(kItemTitleOffsets, kItemTitles, header.items);
  view.user_names = reader.TakeCsr<char>(kUserNameOffsets, kUserNames, header.users);
  if (reader.status().ok()) CheckContent(view, reader);
  if (!reader.status().ok()) return reader.status();
  view.common_prefix = CommonTokenPrefix(view.tokens.offsets, view.tokens.values);
  return view;
}

}  // namespace pixelrec::data
