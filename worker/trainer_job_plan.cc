#include "worker/trainer_job_plan.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "common/config/job_spec.h"
#include "worker/tools/job_plan.h"
#include "worker/train/compute_type.h"
#include "worker/trainer_records.h"

namespace pixelrec {
namespace {

constexpr size_t kMaxSpecBytes = size_t{1} << 20;

absl::StatusOr<v1::JobSpec> ReadSpec(const std::string& file) {
  std::ifstream in;
  if (file != "-") {
    in.open(file, std::ios::binary);
    if (!in) return absl::NotFoundError(absl::StrCat(file, ": can't be read"));
  }
  std::string text(kMaxSpecBytes + 1, '\0');
  std::istream& source = file == "-" ? std::cin : in;
  source.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(source.gcount()));
  if (text.size() > kMaxSpecBytes) return absl::InvalidArgumentError(absl::StrCat(file, ": more than ", kMaxSpecBytes, " bytes"));
  v1::JobSpec spec;
  if (const auto parsed = google::protobuf::util::JsonStringToMessage(text, &spec); !parsed.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": not a job's spec as JSON, as `pixelrecctl validate -o json` prints it: ", parsed.ToString()));
  }
  config::ApplyDefaults(spec);
  if (absl::Status status = config::ValidateJobSpec(spec); !status.ok()) return status;
  return spec;
}

absl::StatusOr<std::string> Plan(const JobPlanOptions& options) {
  const auto spec = ReadSpec(options.spec);
  if (!spec.ok()) return spec.status();
  // As rank 0 of the submitted number of workers would be told.
  v1::TrainerCommand command;
  v1::TrainerPlan& plan = *command.mutable_plan();
  *plan.mutable_spec() = *spec;
  plan.set_world_size(std::max(1, spec->distributed().workers()));
  plan.set_global_batch_size(static_cast<int32_t>(config::GlobalBatchSize(*spec)));
  train::TrainJob job = ToTrainJob(command);
  // As if all ranks ran on this machine's CPU.
  job.hardware = train::DetectHardware();
  const int ranks_with_bf16 = job.hardware.bf16_instructions.empty() ? 0 : job.world_size;
  return tools::PlanAsJson({.job = job,
                            .data = ToPrepareOptions(plan),
                            .cache_dirs = {options.dataset_cache_dirs.begin(), options.dataset_cache_dirs.end()},
                            .compute_type = train::ChooseComputeType(job, ranks_with_bf16).type});
}

}  // namespace

std::unique_ptr<JobPlanOptions> AddJobPlan(CLI::App& app) {
  auto options = std::make_unique<JobPlanOptions>();
  CLI::App* command = app.add_subcommand("plan", "Steps, parameters and bytes per rank of a job, as JSON; reads no weights");
  command->add_option("--spec", options->spec, "The job as `pixelrecctl validate -o json` prints it; - reads standard input")
      ->required();
  command->add_option("--dataset-cache-dir", options->dataset_cache_dirs,
                      "Folder of prepared datasets, whose sizes make the plan exact; repeatable");
  options->command = command;
  return options;
}

int RunJobPlan(const JobPlanOptions& options) {
  const auto json = Plan(options);
  if (json.ok()) {
    std::cout << *json << "\n" << std::flush;
    return std::cout ? 0 : 1;
  }
  std::cerr << "error: " << json.status().message() << "\n";
  switch (json.status().code()) {
    case absl::StatusCode::kNotFound:
      return 3;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kFailedPrecondition:
      return 4;
    default:
      return 1;
  }
}

}  // namespace pixelrec
