#include "worker/checkpoint/safetensors.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/checkpoint/dtype.h"
#include "worker/checkpoint/safetensors_header.h"

namespace pixelrec::checkpoint {
namespace {

constexpr size_t kPrefixBytes = 8;

absl::Status Truncated(absl::string_view file_name, uint64_t has, uint64_t needs) {
  return absl::DataLossError(absl::StrCat(file_name, ": truncated: it has ", has, " bytes of at least ", needs, ", ", needs - has,
                                          " are missing; copy or download it again"));
}

absl::Status Malformed(absl::string_view file_name, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(file_name, ": ", why));
}

// dtype x shape against the entry's own offsets.
absl::Status CheckByteCount(const std::string& name, const HeaderEntry& entry, absl::string_view file_name) {
  const auto element = ElementBytes(entry.dtype);
  if (!element) return Malformed(file_name, absl::StrCat("tensor \"", name, "\": unknown dtype \"", entry.dtype, "\""));
  const auto bytes = TensorBytes(entry.shape, *element);
  if (!bytes || entry.end < entry.begin || entry.end - entry.begin != *bytes) {
    return Malformed(file_name, absl::StrCat("tensor \"", name, "\": data_offsets [", entry.begin, ", ", entry.end,
                                             "] don't hold ", entry.dtype, " [", absl::StrJoin(entry.shape, ", "), "]"));
  }
  return absl::OkStatus();
}

// The entries in order of their offsets must cover 0..end without gap or overlap. Returns end.
absl::StatusOr<uint64_t> CheckCoverage(const SafetensorsHeader& header, absl::string_view file_name) {
  std::vector<std::pair<const std::string*, const HeaderEntry*>> order;
  order.reserve(header.tensors.size());
  for (const auto& [name, entry] : header.tensors) order.emplace_back(&name, &entry);
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second->begin, a.second->end) < std::pair(b.second->begin, b.second->end);
  });
  uint64_t at = 0;
  for (const auto& [name, entry] : order) {
    if (entry->begin != at) {
      return Malformed(file_name,
                       absl::StrCat("tensor \"", *name, "\": its data starts at byte ", entry->begin, ", but ",
                                    entry->begin < at ? "another tensor's reaches to " : "what lies before it ends at ", at));
    }
    at = entry->end;
  }
  return at;
}

}  // namespace

std::vector<absl::Span<const std::byte>> PartsOf(const TensorInfo& tensor) {
  if (!tensor.parts.empty()) return tensor.parts;
  return {{tensor.data, tensor.bytes}};
}

absl::StatusOr<SafetensorsIndex> ParseSafetensors(absl::Span<const std::byte> file, absl::string_view file_name) {
  if (file.size() < kPrefixBytes) return Truncated(file_name, file.size(), kPrefixBytes);
  uint64_t header_bytes = 0;
  for (size_t i = 0; i < kPrefixBytes; ++i) header_bytes |= std::to_integer<uint64_t>(file[i]) << (8 * i);
  if (header_bytes > kMaxSafetensorsHeaderBytes) {
    return Malformed(file_name, absl::StrCat("not a safetensors file: its first 8 bytes announce a header of ", header_bytes,
                                             " bytes (at most ", kMaxSafetensorsHeaderBytes, ")"));
  }
  const uint64_t data_start = kPrefixBytes + header_bytes;
  if (data_start > file.size()) return Truncated(file_name, file.size(), data_start);
  auto header = ParseSafetensorsHeader(
      absl::string_view(reinterpret_cast<const char*>(file.data()) + kPrefixBytes, static_cast<size_t>(header_bytes)));
  if (!header.ok()) return Malformed(file_name, header.status().message());

  for (const auto& [name, entry] : header->tensors) {
    if (auto status = CheckByteCount(name, entry, file_name); !status.ok()) return status;
  }
  auto data_bytes = CheckCoverage(*header, file_name);
  if (!data_bytes.ok()) return data_bytes.status();
  const uint64_t have = file.size() - data_start;
  // No sum of data_start and *data_bytes before this: *data_bytes is whatever the header says.
  if (*data_bytes > have) {
    return absl::DataLossError(absl::StrCat(file_name, ": truncated: its header describes ", *data_bytes,
                                            " bytes of data, it has ", have, ", ", *data_bytes - have,
                                            " are missing; copy or download it again"));
  }
  if (*data_bytes < have) return Malformed(file_name, absl::StrCat(have - *data_bytes, " bytes lie after its last tensor"));

  SafetensorsIndex index;
  index.metadata = std::move(header->metadata);
  for (auto& [name, entry] : header->tensors) {
    TensorInfo info{name, std::move(entry.dtype), std::move(entry.shape), file.data() + data_start + entry.begin,
                    static_cast<size_t>(entry.end - entry.begin)};
    index.tensors.emplace_hint(index.tensors.end(), name, std::move(info));
  }
  return index;
}

absl::StatusOr<std::unique_ptr<SafetensorsFile>> SafetensorsFile::Open(const std::filesystem::path& path) {
  auto map = storage::MappedFile::Open(path);
  if (!map.ok()) return map.status();
  std::unique_ptr<SafetensorsFile> file(new SafetensorsFile(path, *std::move(map)));
  auto index = ParseSafetensors(file->map_.bytes(), path.string());
  if (!index.ok()) return index.status();
  file->index_ = *std::move(index);
  return file;
}

SafetensorsFile::SafetensorsFile(std::filesystem::path path, storage::MappedFile map)
    : path_(std::move(path)), map_(std::move(map)) {}

SafetensorsFile::~SafetensorsFile() = default;

absl::StatusOr<TensorInfo> SafetensorsFile::Find(absl::string_view name) const {
  const auto found = index_.tensors.find(std::string(name));
  if (found == index_.tensors.end()) return absl::NotFoundError(absl::StrCat(path_.string(), ": no tensor ", name));
  return found->second;
}

}  // namespace pixelrec::checkpoint
