#include "coordinator/service/spec_paths.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/config/spec_access.h"
#include "common/config/spec_paths.h"
#include "common/rpc/reasons.h"
#include "common/storage/contained_path.h"

namespace pixelrec::coordinator {

namespace {

namespace fs = std::filesystem;

absl::Status Refused(const config::NamedPath& named, absl::string_view why) {
  return rpc::Refuse(absl::StatusCode::kInvalidArgument, rpc::kSpecInvalid,
                     absl::StrCat(named.field->path, ": ", named.path, " ", why));
}

}  // namespace

absl::Status CheckSpecPaths(v1::JobSpec& spec, const std::vector<fs::path>& roots) {
  for (const config::NamedPath& named : config::PathsOf(spec)) {
    const fs::path path = fs::path(named.path).lexically_normal();
    if (!path.is_absolute()) {
      return Refused(named, "must be an absolute path (pixelrecctl makes it one)");
    }
    const bool inside = roots.empty() || std::any_of(roots.begin(), roots.end(), [&](const fs::path& root) {
                          return storage::LiesUnder(path, root.lexically_normal());
                        });
    if (!inside) {
      return Refused(
          named,
          absl::StrCat("lies outside the roots of this cluster (",
                       absl::StrJoin(roots, ", ", [](std::string* out, const fs::path& root) { out->append(root.string()); }),
                       ")"));
    }
    const bool slash = !path.has_filename() && path.has_relative_path();
    config::SetField(spec, *named.field, (slash ? path.parent_path() : path).string());
  }
  return absl::OkStatus();
}

}  // namespace pixelrec::coordinator
