#include "worker/trainer_samples.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/config/job_spec.h"
#include "common/storage/atomic_file.h"
#include "worker/data/prepare.h"
#include "worker/data/sample_replay.h"
#include "worker/train/batch_options.h"
#include "worker/trainer_records.h"

namespace pixelrec {
namespace {

using Json = nlohmann::ordered_json;

absl::StatusOr<v1::TrainerCommand> ReadCommand(const std::string& file) {
  const absl::StatusOr<std::string> text = storage::ReadFile(file);
  if (!text.ok()) return text.status();
  v1::TrainerCommand command;
  v1::TrainerPlan& plan = *command.mutable_plan();
  if (const auto parsed = google::protobuf::util::JsonStringToMessage(*text, plan.mutable_spec()); !parsed.ok())
    return absl::InvalidArgumentError(absl::StrCat(file, ": not a JobSpec as JSON: ", std::string(parsed.message())));
  config::ApplyDefaults(*plan.mutable_spec());
  if (absl::Status status = config::ValidateJobSpec(plan.spec()); !status.ok())
    return absl::InvalidArgumentError(absl::StrCat(file, ": ", status.message()));
  plan.set_world_size(1);
  plan.set_global_batch_size(static_cast<int32_t>(config::GlobalBatchSize(plan.spec())));
  return command;
}

absl::StatusOr<std::unique_ptr<data::Dataset>> OpenDataset(const SamplesOptions& options, v1::TrainerPlan plan) {
  if (!options.dataset.empty()) return data::Dataset::Open(options.dataset);
  plan.set_dataset_cache_dir(options.cache);
  const absl::StatusOr<data::PrepareReport> report = data::Prepare(ToPrepareOptions(plan));
  if (!report.ok()) return report.status();
  return data::Dataset::Open(report->path);
}

Json Replay(const data::Dataset& dataset, const data::BatchOptions& batches, std::vector<int64_t> steps) {
  data::SampleReplay replay(dataset, batches);
  std::sort(steps.begin(), steps.end());
  Json at_steps = Json::array(), epochs = Json::array();
  for (const int64_t step : steps) {
    replay.AdvanceTo(step);
    at_steps.push_back({{"step", step}, {"samples", replay.samples()}, {"digest", replay.digest().Hex()}});
  }
  for (const auto& epoch : replay.epochs()) {
    epochs.push_back({{"epoch", epoch.epoch},
                      {"step", epoch.step},
                      {"samples", epoch.samples},
                      {"distinct", epoch.distinct},
                      {"digest", epoch.digest.Hex()}});
  }
  return {{"data_hash", dataset.data_hash()},
          {"samples", dataset.samples().size()},
          {"steps_per_epoch", replay.steps_per_epoch()},
          {"epochs", std::move(epochs)},
          {"steps", std::move(at_steps)}};
}

int Fail(const absl::Status& status) {
  std::cerr << "error: " << status.message() << "\n";
  return absl::IsNotFound(status) ? 3 : 1;
}

}  // namespace

std::unique_ptr<SamplesOptions> AddSamples(CLI::App& app) {
  auto options = std::make_unique<SamplesOptions>();
  CLI::App* const command = app.add_subcommand("samples", "Which samples a job's steps visit: counts and digests as JSON");
  command->add_option("--spec", options->spec, "File with the job's spec as JSON")->required();
  CLI::Option_group* const data = command->add_option_group("data");
  data->add_option("--dataset", options->dataset, "Prepared dataset");
  data->add_option("--prepare-in", options->cache, "Prepare the job's CSV files in this folder, unless that has been done");
  data->require_option(1);
  command->add_option("--step", options->steps, "Count up to this optimiser step; may be repeated")
      ->required()
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40));
  options->command = command;
  return options;
}

int RunSamples(const SamplesOptions& options) {
  const absl::StatusOr<v1::TrainerCommand> command = ReadCommand(options.spec);
  if (!command.ok()) return Fail(command.status());
  const auto dataset = OpenDataset(options, command->plan());
  if (!dataset.ok()) return Fail(dataset.status());
  std::cout << Replay(**dataset, train::BatchOptionsOf(ToTrainJob(*command)), options.steps).dump() << "\n";
  return 0;
}

}  // namespace pixelrec
