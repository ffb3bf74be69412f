// The layout of dataset.bin, shared by its writer and its reader. Page: docs/formats.md, "Prepared dataset".
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

namespace pixelrec::data {

// Part of the content hash: a change of this layout or of any rule that decides the content makes old folders unfit, never
// misread.
inline constexpr uint32_t kFormatVersion = 1;
inline constexpr char kDatasetMagic[8] = {'P', 'X', 'R', 'D', 'A', 'T', 'A', '\n'};
inline constexpr char kDatasetFile[] = "dataset.bin";
inline constexpr char kReportFile[] = "report.json";
inline constexpr char kTextReportFile[] = "report.txt";
inline constexpr char kHtmlReportFile[] = "report.html";
inline constexpr uint64_t kSectionAlignment = 64;

// Offsets are CSR: section X_offsets has one entry more than there are rows, begins with 0 and ends with the size of X.
enum Section : uint32_t {
  kTokenOffsets,      // u64 [items + 1]
  kTokens,            // u32, ids of all items
  kHistoryOffsets,    // u64 [users + 1]
  kHistory,           // u32, items of all users, by (timestamp, file row)
  kTimes,             // i64, as kHistory; the file row where the CSV has no timestamp
  kSamples,           // {u32 user, u32 start, u32 length}
  kEvalUsers,         // u32, users with at least three events, ascending
  kTrainCounts,       // u32 [items + 1]
  kItemNameOffsets,   // u64 [items + 1]
  kItemNames,         // UTF-8
  kItemTitleOffsets,  // u64 [items + 1]
  kItemTitles,        // UTF-8
  kUserNameOffsets,   // u64 [users + 1]
  kUserNames,         // UTF-8
  kSectionCount,
};

struct SectionEntry {
  uint64_t offset;  // from the start of the file, a multiple of kSectionAlignment
  uint64_t bytes;
  uint64_t xxh3;  // XXH3-64 of the bytes
};

// Little-endian, at offset 0.
struct DatasetHeader {
  char magic[8];
  uint32_t version;
  uint32_t section_count;
  uint64_t file_bytes;
  char data_hash[32];  // hex, as in the folder's name
  uint32_t items;
  uint32_t train_items;
  uint32_t users;
  int32_t vocab_size;
  int32_t max_seq_length;
  int32_t max_text_length;
  std::array<SectionEntry, kSectionCount> sections;
  uint64_t header_xxh3;  // XXH3-64 of everything above
};

static_assert(std::is_trivially_copyable_v<DatasetHeader> && sizeof(DatasetHeader) == 80 + 24 * kSectionCount + 8);

}  // namespace pixelrec::data
