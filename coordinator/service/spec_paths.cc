#include "coordinator/service/spec_paths.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/rpc/reasons.h"

namespace pixelrec::coordinator {

namespace {

bool LiesUnder(const std::filesystem::path& path, const std::filesystem::path& root) {
  const auto [root_end, ignored] = std::mismatch(root.begin(), root.end(), path.begin(), path.end());
  return root_end == root.end() || root_end->empty();  // a trailing slash makes an empty last element
}

absl::Status Refused(absl::string_view field, const std::string& value, absl::string_view why) {
  return rpc::Refuse(absl::StatusCode::kInvalidArgument, rpc::kSpecInvalid, absl::StrCat(field, ": ", value, " ", why));
}

}  // namespace

absl::Status CheckSpecPaths(const v1::JobSpec& spec, const std::vector<std::filesystem::path>& roots) {
  const std::pair<const char*, const std::string&> paths[] = {
      {"spec.data.interaction_data", spec.data().interaction_data()},
      {"spec.data.text_data", spec.data().text_data()},
      {"spec.data.item_data", spec.data().item_data()},
      {"spec.model.item_model_dir", spec.model().item_model_dir()},
      {"spec.model.user_model_dir", spec.model().user_model_dir()},
      {"spec.model.init_from", spec.model().init_from()},
      {"spec.output_dir", spec.output_dir()},
  };
  for (const auto& [field, value] : paths) {
    if (value.empty()) {
      continue;  // absent; validation has asked for those that must be there
    }
    const std::filesystem::path path = std::filesystem::path(value).lexically_normal();
    if (!path.is_absolute()) {
      return Refused(field, value, "must be an absolute path (pixelrecctl makes it one)");
    }
    const bool inside = roots.empty() || std::any_of(roots.begin(), roots.end(), [&](const std::filesystem::path& root) {
                          return LiesUnder(path, root.lexically_normal());
                        });
    if (!inside) {
      return Refused(
          field, value,
          absl::StrCat("lies outside the roots of this cluster (",
                       absl::StrJoin(roots, ", ", [](std::string* out, const auto& root) { out->append(root.string()); }), ")"));
    }
  }
  return absl::OkStatus();
}

}  // namespace pixelrec::coordinator
