#include "common/config/job_document.h"

#include <filesystem>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/config/deepspeed_config.h"
#include "common/config/job_fields.h"
#include "common/config/job_spec.h"
#include "common/config/job_validation.h"
#include "common/config/spec_access.h"

namespace pixelrec::config {
namespace {

using nlohmann::json;

std::string Resolve(absl::string_view base_dir, const std::string& path) {
  return (std::filesystem::path(std::string(base_dir)) / path).lexically_normal().string();
}

constexpr char kDeepSpeedConfig[] = "spec.distributed.deepspeed_config";

// What the DeepSpeed file that the job names says, as if it stood in the job.
absl::Status AddDeepSpeedFile(JobDocument& document, absl::string_view base_dir, const FileReader& read_file) {
  const auto named = document.fields.values.find(kDeepSpeedConfig);
  if (named == document.fields.values.end()) return absl::OkStatus();
  const std::string path = Resolve(base_dir, named->second.get<std::string>());
  const absl::StatusOr<std::string> text = read_file(path);
  if (!text.ok()) return absl::InvalidArgumentError(document.Refusal(kDeepSpeedConfig, text.status().message()));
  absl::StatusOr<DeepSpeedConfig> config = ParseDeepSpeedConfig(*text, path);
  if (!config.ok()) return config.status();
  document.notices = std::move(config->notices);
  return MergeDeepSpeedConfig(*config, document.fields);
}

absl::Status ApplyOverride(YamlTree& tree, const std::string& assignment) {
  const std::string where = absl::StrCat("--set ", assignment);
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": must be KEY=VALUE, for example spec.train.learning_rate=1e-3"));
  }
  std::string path = assignment.substr(0, equals);
  // `train.seed` is short for `spec.train.seed`.
  const auto known = [](const std::string& candidate) {
    for (const Field& field : JobFields()) {
      const bool in_map = (field.type == FieldType::kStringMap || field.type == FieldType::kNumberMap) &&
                          absl::StartsWith(candidate, absl::StrCat(field.path, "."));
      if (field.path == candidate || in_map) return true;
    }
    return false;
  };
  if (!known(path) && known(absl::StrCat("spec.", path))) path = absl::StrCat("spec.", path);
  if (!known(path)) {
    const size_t dot = path.rfind('.');
    const std::string parent = dot == std::string::npos ? "" : path.substr(0, dot);
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": unknown key \"", path, "\"; ", NearestKeyHint(JobFields(), parent, LeafKey(path))));
  }
  return tree.Assign(path, assignment.substr(equals + 1), where);
}

}  // namespace

std::string JobDocument::Refusal(const std::string& path, absl::string_view message) const {
  return absl::StrCat(fields.PlaceOf(path), ": ", path, ": ", message);
}

absl::StatusOr<JobDocument> ParseJobDocument(absl::string_view yaml, absl::string_view file, absl::string_view base_dir,
                                             const std::vector<std::string>& overrides, const FileReader& read_file) {
  absl::StatusOr<YamlTree> tree = YamlTree::Parse(yaml, file);
  if (!tree.ok()) return tree.status();
  if (tree->root().kind == YamlNode::Kind::kNull) {
    return absl::InvalidArgumentError(
        absl::StrCat(tree->root().where, ": the file is empty; `pixelrecctl init` writes one to start from"));
  }
  for (const std::string& assignment : overrides) {
    if (absl::Status status = ApplyOverride(*tree, assignment); !status.ok()) return status;
  }
  absl::StatusOr<FieldValues> fields = ReadFields(*tree, JobFields(), "a job");
  if (!fields.ok()) return fields.status();
  JobDocument document;
  document.fields = *std::move(fields);
  if (absl::Status status = AddDeepSpeedFile(document, base_dir, read_file); !status.ok()) return status;
  for (const Field& field : JobFields()) {
    if (field.path == kDeepSpeedConfig) continue;  // its values are in, and nobody needs the file any more
    const auto value = document.fields.values.find(field.path);
    if (value == document.fields.values.end()) continue;
    const bool is_path = field.type == FieldType::kPath;
    SetField(document.spec, field, is_path ? json(Resolve(base_dir, value->second.get<std::string>())) : value->second);
  }
  ApplyDefaults(document.spec);
  if (const std::optional<SpecProblem> problem = FindProblem(document.spec)) {
    return absl::InvalidArgumentError(document.Refusal(problem->path, problem->message));
  }
  return document;
}

}  // namespace pixelrec::config
