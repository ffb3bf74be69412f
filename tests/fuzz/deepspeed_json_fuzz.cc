// Any bytes as the DeepSpeed file of a job: never a crash, a refusal says where, and what is accepted makes a valid job.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "absl/strings/match.h"
#include "common/config/deepspeed_config.h"
#include "common/config/job_document.h"
#include "common/config/job_spec.h"

namespace config = pixelrec::config;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto parsed = config::ParseDeepSpeedConfig(text, "/base/ds.json");
  if (!parsed.ok() && !absl::StartsWith(parsed.status().message(), "/base/ds.json:")) std::abort();
  constexpr char kJob[] =
      "metadata: {name: a}\nspec: {data: {interaction_data: i, text_data: t}, model: {item_model_dir: m, user_model_dir: m}, "
      "output_dir: o, distributed: {workers: 2, deepspeed_config: ds.json}, train: {learning_rate: 1e-3}}\n";
  const auto job = config::ParseJobDocument(kJob, "job.yaml", "/base", {}, [&](const std::filesystem::path&) { return text; });
  if (!job.ok()) {
    if (!absl::IsInvalidArgument(job.status()) || job.status().message().empty()) std::abort();
    return 0;
  }
  if (!parsed.ok() || job->notices != parsed->notices) std::abort();
  if (!config::ValidateJobSpec(job->spec).ok() || job->spec.distributed().has_deepspeed_config()) std::abort();
  return 0;
}
