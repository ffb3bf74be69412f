#include <cerrno>
#include <cstring>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/storage/atomic_file.h"

namespace pixelrec::storage {
namespace {

struct Meaning {
  absl::StatusCode code;
  const char* hint;  // how to mend it; empty where the system's own words say enough
};

Meaning MeaningOf(int error) {
  switch (error) {
    case ENOENT:
      return {absl::StatusCode::kNotFound, ""};
    case ENOTDIR:
      return {absl::StatusCode::kNotFound, "a part of the path is a file"};
    case EACCES:
    case EPERM:
      return {absl::StatusCode::kPermissionDenied, "check its owner and mode"};
    case EROFS:
      return {absl::StatusCode::kPermissionDenied, "the file system is mounted read-only"};
    case ENOSPC:
      return {absl::StatusCode::kResourceExhausted, "free some space and try again"};
    case EDQUOT:
      return {absl::StatusCode::kResourceExhausted, "the quota of its owner is used up"};
    case EMFILE:
    case ENFILE:
      return {absl::StatusCode::kResourceExhausted, "raise the limit of open files"};
    case EEXIST:
    case ENOTEMPTY:
      return {absl::StatusCode::kAlreadyExists, ""};
    case EXDEV:
      return {absl::StatusCode::kFailedPrecondition, "both must lie on one file system"};
    case EISDIR:
      return {absl::StatusCode::kFailedPrecondition, "a file was expected"};
    case ENAMETOOLONG:
    case EINVAL:
    case ELOOP:
      return {absl::StatusCode::kInvalidArgument, ""};
    case EIO:
      return {absl::StatusCode::kInternal, "the disk reports an error"};
    default:
      return {absl::StatusCode::kInternal, ""};
  }
}

}  // namespace

absl::Status ErrnoStatus(int error, absl::string_view what, const std::filesystem::path& path) {
  const Meaning meaning = MeaningOf(error);
  std::string message = absl::StrCat(what, " ", path.string(), ": ", std::generic_category().message(error));
  if (*meaning.hint != '\0') absl::StrAppend(&message, " (", meaning.hint, ")");
  return absl::Status(meaning.code, message);
}

}  // namespace pixelrec::storage
