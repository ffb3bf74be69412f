#include "ctl/client/job_file.h"

#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <iterator>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/config/job_fields.h"
#include "common/config/text_file.h"
#include "common/config/yaml_tree.h"

namespace pixelrec::ctl {
namespace {

namespace fs = std::filesystem;

std::string ReadStandardInput() {
  std::string text;
  text.resize(config::YamlTree::kMaxBytes + 1);
  std::cin.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(std::cin.gcount()));
  return text;
}

absl::Status CheckReadable(const config::JobDocument& document, const std::string& field, const std::string& path,
                           bool directory) {
  const auto refuse = [&](absl::string_view why) {
    return absl::InvalidArgumentError(document.Refusal(field, absl::StrCat(why, ": ", path)));
  };
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) return refuse(directory ? "no such directory" : "no such file");
  if (directory && !fs::is_directory(status)) return refuse("not a directory");
  if (!directory && fs::is_directory(status)) return refuse("a directory, not a file");
  if (access(path.c_str(), directory ? R_OK | X_OK : R_OK) != 0) return refuse("not readable");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<config::JobDocument> ReadJobFile(const std::string& file, const std::vector<std::string>& overrides) {
  std::error_code ignored;
  if (file == "-") return config::ParseJobDocument(ReadStandardInput(), "<stdin>", fs::current_path(ignored).string(), overrides);
  const absl::StatusOr<std::string> text = config::ReadTextFile(file);
  if (!text.ok()) return absl::InvalidArgumentError(text.status().message());
  return config::ParseJobDocument(*text, file, fs::absolute(file, ignored).parent_path().string(), overrides);
}

absl::Status CheckJobPaths(const config::JobDocument& document) {
  const v1::JobSpec& spec = document.spec;
  const std::pair<const char*, std::string> files[] = {{"spec.data.interaction_data", spec.data().interaction_data()},
                                                       {"spec.data.text_data", spec.data().text_data()},
                                                       {"spec.data.item_data", spec.data().item_data()}};
  for (const auto& [field, path] : files) {
    if (path.empty()) continue;
    if (absl::Status status = CheckReadable(document, field, path, /*directory=*/false); !status.ok()) return status;
  }
  const std::pair<const char*, std::string> directories[] = {{"spec.model.item_model_dir", spec.model().item_model_dir()},
                                                             {"spec.model.user_model_dir", spec.model().user_model_dir()}};
  for (const auto& [field, path] : directories) {
    if (absl::Status status = CheckReadable(document, field, path, /*directory=*/true); !status.ok()) return status;
    std::error_code ignored;
    if (!fs::exists(fs::path(path) / "config.json", ignored)) {
      return absl::InvalidArgumentError(
          document.Refusal(field, absl::StrCat("not a model directory, it has no config.json: ", path)));
    }
  }
  std::error_code ignored;
  if (fs::exists(spec.output_dir(), ignored) && !fs::is_directory(spec.output_dir(), ignored)) {
    return absl::InvalidArgumentError(document.Refusal("spec.output_dir", absl::StrCat("not a directory: ", spec.output_dir())));
  }
  return absl::OkStatus();
}

absl::Status PlaceRefusal(const config::JobDocument& document, const absl::Status& refusal) {
  if (!absl::IsInvalidArgument(refusal)) return refusal;
  const std::string message(refusal.message());
  const size_t colon = message.find(": ");
  if (colon == std::string::npos) return refusal;
  const std::string path = message.substr(0, colon);
  for (const config::Field& field : config::JobFields()) {
    if (field.path == path) return absl::InvalidArgumentError(document.Refusal(path, message.substr(colon + 2)));
  }
  return refusal;
}

}  // namespace pixelrec::ctl
