#include "common/storage/contained_path.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/storage/unique_fd.h"

namespace pixelrec::storage {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kBeneath = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
constexpr uint64_t kAnywhere = RESOLVE_NO_MAGICLINKS;

absl::Status Denied(const fs::path& path, absl::string_view why) {
  return absl::PermissionDeniedError(absl::StrCat(path.string(), ": ", why));
}

// Negative: an errno.
int OpenAt2(int folder, const fs::path& path, uint64_t resolve) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = resolve;
  const long fd = syscall(SYS_openat2, folder, path.c_str(), &how, sizeof(how));
  return fd < 0 ? -errno : static_cast<int>(fd);
}

absl::Status CheckKind(const fs::path& path, int fd) {
  struct statfs system;
  struct stat status;
  if (fstatfs(fd, &system) != 0 || fstat(fd, &status) != 0) return Denied(path, "can't be looked at");
  if (system.f_type == PROC_SUPER_MAGIC || system.f_type == SYSFS_MAGIC) {
    return Denied(path, "lies in /proc or /sys, where the system shows itself; a job's files lie elsewhere");
  }
  if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) return Denied(path, "is neither a file nor a directory");
  return absl::OkStatus();
}

absl::Status Refusal(const fs::path& path, int error) {
  switch (error) {
    case EXDEV:
      return Denied(path,
                    "a symbolic link on the way leads out of the roots, or is absolute; use the real path, or a relative link");
    case ELOOP:
      return Denied(path, "the symbolic links on the way lead in a circle, or through /proc");
    case ENOSYS:
      return absl::UnimplementedError(
          "this kernel has no openat2, which keeps paths inside the roots: Linux 5.6 or newer is needed");
    default:
      return Denied(path, absl::StrCat("can't be looked at: ", std::generic_category().message(error)));
  }
}

// `rest`: of `path`, below `folder`.
absl::Status CheckBelow(int folder, const fs::path& path, const fs::path& rest, uint64_t resolve) {
  const fs::path from_here = rest.empty() ? fs::path(".") : rest;
  const UniqueFd fd(OpenAt2(folder, from_here, resolve));
  if (fd.valid()) return CheckKind(path, fd.get());
  const int error = -fd.get();
  if (error == ENOTDIR) return absl::OkStatus();  // a file on the way: nothing can lie below it
  if (error != ENOENT || rest.empty()) return Refusal(path, error);
  // Not there yet; what holds it must be right, and no dangling link may be there in its place: it would be followed when it is
  // written.
  const UniqueFd parent(OpenAt2(folder, rest.has_parent_path() ? rest.parent_path() : fs::path("."), resolve));
  if (!parent.valid()) {
    return -parent.get() == ENOENT ? CheckBelow(folder, path.parent_path(), rest.parent_path(), resolve)
                                   : Refusal(path, -parent.get());
  }
  struct stat status;
  if (fstatat(parent.get(), rest.filename().c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
    return Denied(path, "is a symbolic link to nothing");
  }
  return CheckKind(path.parent_path(), parent.get());
}

fs::path WithoutEndSlash(const fs::path& path) { return path.has_filename() ? path : path.parent_path(); }

absl::Status CheckUnderRoot(const fs::path& path, const fs::path& root) {
  const UniqueFd folder(open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid() && errno == ENOENT) return absl::OkStatus();  // nothing is there yet that could lead elsewhere
  if (!folder.valid()) return Denied(root, absl::StrCat("a root can't be opened: ", std::generic_category().message(errno)));
  const fs::path rest = path.lexically_relative(root);
  return CheckBelow(folder.get(), path, rest == "." ? fs::path() : rest, kBeneath);
}

}  // namespace

bool LiesUnder(const fs::path& path, const fs::path& root) {
  const auto [root_end, ignored] = std::mismatch(root.begin(), root.end(), path.begin(), path.end());
  return root_end == root.end() || root_end->empty();  // a trailing slash makes an empty last element
}

absl::Status CheckContained(const fs::path& path, const std::vector<fs::path>& roots) {
  if (!path.is_absolute()) return absl::InvalidArgumentError(absl::StrCat("'", path.string(), "' is not an absolute path"));
  if (std::find(path.begin(), path.end(), "..") != path.end()) {
    return absl::InvalidArgumentError(absl::StrCat(path.string(), ": must not contain '..'"));
  }
  const fs::path wanted = WithoutEndSlash(path.lexically_normal());
  if (roots.empty()) return CheckBelow(AT_FDCWD, wanted, wanted, kAnywhere);
  for (const fs::path& each : roots) {
    const fs::path root = WithoutEndSlash(each.lexically_normal());
    if (LiesUnder(wanted, root)) return CheckUnderRoot(wanted, root);
    // The root may be spelled through a link, and the path without it.
    std::error_code error;
    if (const fs::path real = fs::canonical(root, error); !error && LiesUnder(wanted, real)) return CheckUnderRoot(wanted, real);
  }
  return absl::PermissionDeniedError(
      absl::StrCat(path.string(), " lies outside the roots (",
                   absl::StrJoin(roots, ", ", [](std::string* out, const fs::path& root) { out->append(root.string()); }), ")"));
}

}  // namespace pixelrec::storage
