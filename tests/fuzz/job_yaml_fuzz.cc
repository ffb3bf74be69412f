// Any bytes as job.yaml, and as the value of an override: never a crash, and what is accepted is valid and stays so.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "common/config/job_document.h"
#include "common/config/job_spec.h"

namespace config = pixelrec::config;

namespace {

// Opens no file, whatever the job names.
absl::StatusOr<pixelrec::v1::JobSpec> Parse(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
  auto document = config::ParseJobDocument(yaml, "job.yaml", "/base", overrides,
                                           [](const std::filesystem::path&) { return std::string("{}"); });
  if (!document.ok()) return document.status();
  return document->spec;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto spec = Parse(text);
  if (spec.ok()) {
    if (!config::ValidateJobSpec(*spec).ok()) std::abort();
    pixelrec::v1::JobSpec again = *spec;
    config::ApplyDefaults(again);
    if (again.SerializeAsString().size() != spec->SerializeAsString().size()) std::abort();
  } else if (spec.status().code() != absl::StatusCode::kInvalidArgument || spec.status().message().empty()) {
    std::abort();
  }
  constexpr char kJob[] =
      "metadata: {name: a}\nspec: {data: {interaction_data: i, text_data: t}, model: {item_model_dir: m, user_model_dir: m}, "
      "output_dir: o}\n";
  (void)Parse(kJob, {"spec.data.text_keys=" + text});
  (void)Parse(kJob, {text});
  return 0;
}
