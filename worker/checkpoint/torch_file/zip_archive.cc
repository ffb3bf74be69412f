#include "worker/checkpoint/torch_file/zip_archive.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "worker/checkpoint/torch_file/little_endian.h"

namespace pixelrec::checkpoint {
namespace {

// Signatures and fixed sizes of the records, by the names of PKWARE's APPNOTE.
constexpr uint32_t kLocalHeader = 0x04034b50, kDirectoryEntry = 0x02014b50, kEndRecord = 0x06054b50;
constexpr uint32_t kZip64EndRecord = 0x06064b50, kZip64Locator = 0x07064b50;
constexpr size_t kLocalHeaderBytes = 30, kDirectoryEntryBytes = 46, kEndRecordBytes = 22;
constexpr size_t kZip64EndRecordBytes = 56, kZip64LocatorBytes = 20, kMaxCommentBytes = 65535;
constexpr uint16_t kEncrypted = 1, kZip64Extra = 1;
constexpr uint16_t kIn64Bits16 = 0xffff;  // "look into the zip64 record"
constexpr uint32_t kIn64Bits32 = 0xffffffff;

struct Directory {
  uint64_t entries = 0;
  uint64_t begin = 0;
  uint64_t bytes = 0;
};

struct Entry {
  std::string name;
  uint64_t header = 0;  // offset of its local header
  uint64_t bytes = 0;
};

class DirectoryReader {
 public:
  DirectoryReader(absl::Span<const std::byte> file, absl::string_view file_name) : file_(file), file_name_(file_name) {}

  absl::StatusOr<std::vector<Entry>> Entries() {
    auto directory = FindDirectory();
    if (!directory.ok()) return directory.status();
    directory_begin_ = directory->begin;
    if (directory->bytes > file_.size() || directory->begin > file_.size() - directory->bytes)
      return Refuse("its directory lies outside the file");
    if (directory->entries > directory->bytes / kDirectoryEntryBytes)
      return Refuse("its directory is too short for the entries it announces");
    LittleEndianReader in(file_.subspan(directory->begin, directory->bytes));
    std::vector<Entry> entries;
    for (uint64_t i = 0; i < directory->entries; ++i) {
      auto entry = ReadEntry(in);
      if (!entry.ok()) return entry.status();
      entries.push_back(*std::move(entry));
    }
    return entries;
  }

  // The entry's contents; `end_of_previous` moves to its end.
  absl::StatusOr<absl::Span<const std::byte>> Contents(const Entry& entry, uint64_t& end_of_previous) const {
    if (entry.header < end_of_previous) return RefuseEntry(entry.name, "overlaps another entry");
    if (entry.header > directory_begin_ || directory_begin_ - entry.header < kLocalHeaderBytes)
      return RefuseEntry(entry.name, "lies outside the archive");
    LittleEndianReader in(file_.subspan(entry.header, directory_begin_ - entry.header));
    const uint32_t signature = in.U32();
    in.Skip(22);
    const uint16_t name_bytes = in.U16(), extra_bytes = in.U16();
    const absl::string_view name = in.Text(name_bytes);
    in.Skip(extra_bytes);
    if (!in.ok() || signature != kLocalHeader || name != entry.name)
      return RefuseEntry(entry.name, "its local header disagrees with the directory");
    if (entry.bytes > in.remaining()) return RefuseEntry(entry.name, "reaches past the end of the archive");
    const uint64_t begin = directory_begin_ - in.remaining();
    end_of_previous = begin + entry.bytes;
    return file_.subspan(begin, entry.bytes);
  }

  absl::Status Refuse(absl::string_view why) const { return absl::InvalidArgumentError(absl::StrCat(file_name_, ": ", why)); }

 private:
  absl::Status RefuseEntry(absl::string_view name, absl::string_view why) const {
    return Refuse(absl::StrCat("entry ", absl::CHexEscape(name.substr(0, 200)), ": ", why));
  }

  absl::StatusOr<Directory> FindDirectory() const {
    if (file_.size() < kEndRecordBytes) return NotAnArchive();
    const size_t last = file_.size() - kEndRecordBytes;
    const size_t first = last > kMaxCommentBytes ? last - kMaxCommentBytes : 0;
    for (size_t at = last + 1; at-- > first;) {
      LittleEndianReader in(file_.subspan(at));
      if (in.U32() != kEndRecord) continue;
      const uint16_t disk = in.U16(), directory_disk = in.U16();
      in.Skip(2);
      Directory directory;
      directory.entries = in.U16();
      directory.bytes = in.U32();
      directory.begin = in.U32();
      if (in.U16() != in.remaining()) continue;  // bytes of the comment look like a record
      if (disk != directory_disk || (disk != 0 && disk != kIn64Bits16))
        return Refuse("an archive of several volumes is not read");
      return Widen(directory, at);
    }
    return NotAnArchive();
  }

  // Takes the numbers from the zip64 record in front of the end record, where there is one.
  absl::StatusOr<Directory> Widen(Directory directory, size_t end_record) const {
    const bool needed = directory.entries == kIn64Bits16 || directory.bytes == kIn64Bits32 || directory.begin == kIn64Bits32;
    if (end_record < kZip64LocatorBytes)
      return needed ? Refuse("its zip64 record is missing") : absl::StatusOr<Directory>(directory);
    LittleEndianReader locator(file_.subspan(end_record - kZip64LocatorBytes, kZip64LocatorBytes));
    if (locator.U32() != kZip64Locator)
      return needed ? Refuse("its zip64 record is missing") : absl::StatusOr<Directory>(directory);
    locator.Skip(4);
    const uint64_t at = locator.U64();
    if (end_record - kZip64LocatorBytes < kZip64EndRecordBytes || at > end_record - kZip64LocatorBytes - kZip64EndRecordBytes)
      return Refuse("its zip64 record lies outside the file");
    LittleEndianReader in(file_.subspan(at, kZip64EndRecordBytes));
    if (in.U32() != kZip64EndRecord) return Refuse("its zip64 record is missing");
    in.Skip(28);
    Directory wide;
    wide.entries = in.U64();
    wide.bytes = in.U64();
    wide.begin = in.U64();
    return wide;
  }

  absl::Status NotAnArchive() const {
    // "PK\3\4": it began as an archive, and its directory at the end is gone.
    LittleEndianReader in(file_);
    if (file_.size() >= 4 && in.U32() == kLocalHeader) {
      return absl::DataLossError(
          absl::StrCat(file_name_, ": truncated: a ZIP archive without its directory at the end; copy or download it again"));
    }
    return Refuse("not a ZIP archive");
  }

  absl::StatusOr<Entry> ReadEntry(LittleEndianReader& in) const {
    const uint32_t signature = in.U32();
    in.Skip(4);
    const uint16_t flags = in.U16(), method = in.U16();
    in.Skip(8);
    uint64_t stored_bytes = in.U32();
    Entry entry;
    entry.bytes = in.U32();
    const uint16_t name_bytes = in.U16(), extra_bytes = in.U16(), comment_bytes = in.U16();
    in.Skip(8);
    entry.header = in.U32();
    entry.name = std::string(in.Text(name_bytes));
    const absl::Span<const std::byte> extra = in.Bytes(extra_bytes);
    in.Skip(comment_bytes);
    if (!in.ok() || signature != kDirectoryEntry) return Refuse("its directory is damaged");
    if (flags & kEncrypted) return RefuseEntry(entry.name, "is encrypted");
    if (method != 0)
      return RefuseEntry(entry.name, absl::StrCat("is compressed (method ", method, "); torch stores entries as they are"));
    if (!WidenEntry(extra, entry, stored_bytes)) return RefuseEntry(entry.name, "its zip64 field is damaged");
    if (stored_bytes != entry.bytes) return RefuseEntry(entry.name, "is stored in another size than it has");
    return entry;
  }

  // Sizes and offset of 64 bits stand in the extra field, in this order, each only where its place holds all ones.
  static bool WidenEntry(absl::Span<const std::byte> extra, Entry& entry, uint64_t& stored_bytes) {
    if (entry.bytes != kIn64Bits32 && stored_bytes != kIn64Bits32 && entry.header != kIn64Bits32) return true;
    LittleEndianReader in(extra);
    while (in.ok() && in.remaining() >= 4) {
      const uint16_t id = in.U16(), bytes = in.U16();
      LittleEndianReader field(in.Bytes(bytes));
      if (!in.ok() || id != kZip64Extra) continue;
      for (uint64_t* value : {&entry.bytes, &stored_bytes, &entry.header}) {
        if (*value == kIn64Bits32) *value = field.U64();
      }
      return field.ok();
    }
    return false;
  }

  absl::Span<const std::byte> file_;
  std::string file_name_;
  uint64_t directory_begin_ = 0;
};

}  // namespace

absl::StatusOr<ZipArchive> ZipArchive::Parse(absl::Span<const std::byte> file, absl::string_view file_name) {
  DirectoryReader reader(file, file_name);
  auto entries = reader.Entries();
  if (!entries.ok()) return entries.status();
  std::sort(entries->begin(), entries->end(), [](const Entry& a, const Entry& b) { return a.header < b.header; });
  ZipArchive archive;
  uint64_t end_of_previous = 0;
  for (const Entry& entry : *entries) {
    auto contents = reader.Contents(entry, end_of_previous);
    if (!contents.ok()) return contents.status();
    if (!archive.entries_.emplace(entry.name, *contents).second)
      return reader.Refuse(absl::StrCat("entry ", absl::CHexEscape(entry.name.substr(0, 200)), ": occurs twice"));
  }
  return archive;
}

}  // namespace pixelrec::checkpoint
