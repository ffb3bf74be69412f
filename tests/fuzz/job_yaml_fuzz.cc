// Any bytes as job.yaml, and as the value of an override: never a crash, and what is accepted is valid and stays so.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "common/config/job_spec.h"

namespace config = pixelrec::config;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto spec = config::ParseJobYaml(text, "job.yaml", "/base");
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
  (void)config::ParseJobYaml(kJob, "job.yaml", "/base", {"spec.data.text_keys=" + text});
  (void)config::ParseJobYaml(kJob, "job.yaml", "/base", {text});
  return 0;
}
