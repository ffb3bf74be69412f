#include "worker/checkpoint/file_list.h"

#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/storage/atomic_file.h"
#include "worker/checkpoint/json_file.h"
#include "worker/checkpoint/manifest.h"

namespace pixelrec::checkpoint {
namespace {

bool StaysInside(const std::string& name) {
  const std::vector<std::string> parts = absl::StrSplit(name, '/');
  if (parts.size() > 2 || name.find('\0') != std::string::npos) return false;
  for (const std::string& part : parts) {
    if (part.empty() || part.front() == '.') return false;
  }
  return true;
}

}  // namespace

nlohmann::json FilesToJson(const std::map<std::string, FileDigest>& files) {
  nlohmann::json list = nlohmann::json::object();
  for (const auto& [name, digest] : files) list[name] = {{"bytes", digest.bytes}, {"xxh3", digest.xxh3}};
  return list;
}

absl::StatusOr<std::map<std::string, FileDigest>> FilesFromJson(const nlohmann::json& document, absl::string_view file_name) {
  const auto list = document.find("files");
  if (list == document.end() || !list->is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(file_name, ": files: missing, or not an object"));
  }
  std::map<std::string, FileDigest> files;
  for (const auto& [name, entry] : list->items()) {
    if (!StaysInside(name))
      return absl::InvalidArgumentError(absl::StrCat(file_name, ": files: \"", name, "\" is not a plain file name"));
    JsonFields fields(entry, absl::StrCat(file_name, ": files: ", name));
    if (!fields.status().ok()) return fields.status();
    FileDigest digest{fields.Unsigned("bytes"), fields.String("xxh3")};
    if (!fields.status().ok()) return fields.status();
    files.emplace(name, std::move(digest));
  }
  return files;
}

absl::Status VerifyFiles(const std::filesystem::path& dir, const std::map<std::string, FileDigest>& files) {
  for (const auto& [name, expected] : files) {
    std::error_code error;
    const uint64_t bytes = std::filesystem::file_size(dir / name, error);
    if (error) return storage::ErrnoStatus(error.value(), "cannot read", dir / name);
    if (bytes == expected.bytes) continue;
    return absl::DataLossError(absl::StrCat((dir / name).string(), bytes < expected.bytes ? ": truncated" : ": damaged",
                                            ": it has ", bytes, " bytes, ", expected.bytes, " were written"));
  }
  for (const auto& [name, expected] : files) {
    auto digest = DigestFile(dir / name);
    if (!digest.ok()) return digest.status();
    if (*digest == expected) continue;
    return absl::DataLossError(
        absl::StrCat((dir / name).string(), ": damaged: its xxh3 is ", digest->xxh3, ", ", expected.xxh3, " was written"));
  }
  return absl::OkStatus();
}

}  // namespace pixelrec::checkpoint
