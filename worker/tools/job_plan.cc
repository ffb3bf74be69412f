#include "worker/tools/job_plan.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "worker/checkpoint/decoder_config.h"
#include "worker/data/batch.h"
#include "worker/data/outlook.h"
#include "worker/data/sample_sequence.h"
#include "worker/plan/memory_plan.h"
#include "worker/train/batch_options.h"

namespace pixelrec::tools {
namespace {

using nlohmann::ordered_json;

// Batches of single ranks that are drawn to see how large they get.
constexpr int64_t kDraws = 256;
// What a rank's process holds besides tensors: the pages of libraries that it has touched, threads, the allocator's leftovers.
// Measured as VmHWM less the planned peak, 166 to 184 MB (docs/distributed.md), rounded up.
constexpr int64_t kProgramBytes = 200'000'000;

struct Drawn {
  std::vector<plan::BatchShape> shapes;  // the largest ones
  int64_t steps = 0;                     // looked at; 0: bounds
  double tokens_per_step = 0;            // of all ranks
};

plan::Widths WidthsOf(const PlanRequest& request) {
  if (request.job.compat.bf16_rounding) return {.weights = 2, .gradients = 2, .embeddings = 2};
  if (request.compute_type == train::ComputeType::kBf16) return {.weights = 2, .gradients = 4, .embeddings = 4};
  return {};
}

absl::StatusOr<plan::ModelSettings> ReadModels(const PlanRequest& request) {
  const train::TrainJob& job = request.job;
  const auto item = checkpoint::ReadDecoderConfig(job.item_model_dir);
  if (!item.ok()) return item.status();
  const auto user = checkpoint::ReadDecoderConfig(job.user_model_dir);
  if (!user.ok()) return user.status();
  if (item->hidden_size != user->hidden_size) {
    return absl::InvalidArgumentError(absl::StrCat("item_model_dir has hidden_size ", item->hidden_size, ", user_model_dir ",
                                                   user->hidden_size,
                                                   ": the user LLM reads the item LLM's embeddings, so they must be equal"));
  }
  const auto trained = [&](const char* side) { return !absl::c_linear_search(job.freeze, side); };
  return plan::ModelSettings{.item_llm = *item,
                             .user_llm = *user,
                             .item_emb_token_n = job.item_emb_token_n,
                             .widths = WidthsOf(request),
                             .fused = !job.compat.bf16_rounding,
                             .item_trained = trained("item_llm"),
                             .user_trained = trained("user_llm")};
}

// Of a micro-step: one, but with grad_cache as many as there would be micro-steps without.
int64_t PassesOf(const train::TrainJob& job) {
  return job.grad_cache ? (job.global_batch_size + job.micro_batch_size - 1) / job.micro_batch_size : 1;
}

// Every rank's batches of steps spread over the first epoch.
Drawn DrawBatches(const data::Dataset& dataset, data::BatchOptions options, bool pooled, int64_t passes) {
  Drawn drawn;
  const int64_t steps = data::StepsPerEpoch(dataset, options), micro = data::MicroSteps(dataset, options, 0);
  drawn.steps = std::clamp<int64_t>(kDraws / (options.world_size * micro), 1, steps);
  plan::BatchShape most_tokens, most_pairs;
  for (int64_t i = 0; i < drawn.steps; ++i) {
    const int64_t step = i * steps / drawn.steps;
    for (int64_t m = 0; m < data::MicroSteps(dataset, options, step); ++m) {
      for (options.rank = 0; options.rank < options.world_size; ++options.rank) {
        const plan::BatchShape shape = plan::ShapeOf(dataset, data::MakeBatch(dataset, options, 1, step, m), pooled, passes);
        drawn.tokens_per_step += static_cast<double>(shape.tokens());
        if (shape.tokens() > most_tokens.tokens()) most_tokens = shape;
        if (shape.pairs > most_pairs.pairs) most_pairs = shape;
      }
    }
  }
  drawn.tokens_per_step /= static_cast<double>(drawn.steps);
  drawn.shapes = {most_tokens, most_pairs};
  return drawn;
}

Drawn BoundBatches(const PlanRequest& request) {
  const train::TrainJob& job = request.job;
  const int64_t users = job.grad_cache ? job.global_batch_size : job.micro_batch_size;
  const plan::BatchShape shape = plan::LargestShape({.rows = (users + job.world_size - 1) / job.world_size,
                                                     .max_seq_length = request.data.max_seq_length,
                                                     .max_text_length = request.data.max_text_length,
                                                     .num_negatives = job.num_negatives,
                                                     .world_size = job.world_size,
                                                     .pooled = job.item_emb_token_n == 0,
                                                     .passes = PassesOf(job)});
  const int64_t micro = (job.global_batch_size + users - 1) / users;
  return {.shapes = {shape}, .steps = 0, .tokens_per_step = static_cast<double>(shape.tokens() * job.world_size * micro)};
}

ordered_json ToJson(const plan::RankMemory& memory, const plan::Variant& variant) {
  return {{"item_zero_stage", variant.item_zero_stage},
          {"user_zero_stage", variant.user_zero_stage},
          {"gradient_checkpointing", variant.gradient_checkpointing},
          {"weights", memory.state.weights},
          {"masters", memory.state.masters},
          {"gradients", memory.state.gradients},
          {"moments", memory.state.moments},
          {"buffers", memory.state.buffers},
          {"activations", memory.step.activations},
          {"collectives", memory.step.collectives},
          {"checkpoint_copy", memory.checkpoint_copy},
          {"evaluation", memory.evaluation},
          {"best_model", memory.best_model},
          {"peak", memory.peak}};
}

// All stages for both LLMs, with and without recomputed activations; the job's own is marked, and added if it is none of these.
ordered_json Stages(const plan::Workload& workload, const train::TrainJob& job) {
  ordered_json stages = ordered_json::array();
  bool chosen_seen = false;
  const auto add = [&](int item, int user, bool checkpointing) {
    const plan::Variant variant{job.world_size, item, user, checkpointing};
    const bool chosen = item == job.item_zero_stage && user == job.user_zero_stage && checkpointing == job.gradient_checkpointing;
    ordered_json entry = {{"chosen", chosen}};
    entry.update(ToJson(plan::MemoryOf(workload, variant), variant));
    stages.push_back(std::move(entry));
    chosen_seen |= chosen;
  };
  for (const bool checkpointing : {true, false}) {
    for (int stage = 0; stage <= 3; ++stage) add(stage, stage, checkpointing);
  }
  if (!chosen_seen) add(job.item_zero_stage, job.user_zero_stage, job.gradient_checkpointing);
  return stages;
}

// More ranks with as many users each: the state shrinks, the negatives of all ranks become more.
ordered_json Worlds(const plan::Workload& workload, const train::TrainJob& job) {
  ordered_json worlds = ordered_json::array();
  for (const int factor : {1, 2, 4, 8, 16}) {
    plan::Workload larger = workload;
    for (plan::BatchShape& shape : larger.shapes) shape.all_negatives *= job.num_negatives > 0 ? 1 : factor;
    for (const int stage : {2, 3}) {
      const plan::Variant variant{job.world_size * factor, stage, stage, true};
      worlds.push_back({{"workers", variant.world_size},
                        {"zero_stage", stage},
                        {"gradient_checkpointing", true},
                        {"peak", plan::MemoryOf(larger, variant).peak}});
    }
  }
  return worlds;
}

int64_t AverageTokens(const data::Dataset& dataset) {
  int64_t tokens = 0;
  for (uint32_t item = 1; item <= dataset.num_items(); ++item) tokens += static_cast<int64_t>(dataset.tokens(item).size()) + 1;
  return tokens / std::max<int64_t>(1, dataset.num_items());
}

}  // namespace

absl::StatusOr<std::string> PlanAsJson(const PlanRequest& request) {
  const train::TrainJob& job = request.job;
  const auto model = ReadModels(request);
  if (!model.ok()) return model.status();
  const auto outlook = data::LookAhead(request.data, request.cache_dirs);
  if (!outlook.ok()) return outlook.status();
  const data::BatchOptions batches = train::BatchOptionsOf(job);
  const bool prepared = outlook->dataset != nullptr;
  if (outlook->samples == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(request.data.interaction_data.string(), ": no user has the four events that give a training sample"));
  }
  const Drawn drawn =
      prepared ? DrawBatches(*outlook->dataset, batches, job.item_emb_token_n == 0, PassesOf(job)) : BoundBatches(request);
  const auto samples = static_cast<int64_t>(data::SampleSequence(batches, 1, static_cast<uint64_t>(outlook->samples)).size());
  const int64_t steps = (samples + job.global_batch_size - 1) / job.global_batch_size;
  const plan::Workload workload{
      .model = *model,
      .shapes = drawn.shapes,
      .catalogue = outlook->items,
      .tokens_per_item = prepared ? AverageTokens(*outlook->dataset) : request.data.max_text_length + 1,
      .trains_past_checkpoints = job.epochs > 1 || job.checkpoint_every_steps > 0 || job.checkpoint_every_seconds > 0};
  const plan::Variant chosen{job.world_size, job.item_zero_stage, job.user_zero_stage, job.gradient_checkpointing};
  const dist::UnitLayout layout = plan::LayoutFor(*model, chosen);
  int64_t largest = 0;
  for (const plan::BatchShape& shape : drawn.shapes) largest = std::max(largest, shape.tokens());

  const ordered_json json = {
      {"job", job.job_name},
      {"workers", job.world_size},
      {"global_batch_size", job.global_batch_size},
      {"data",
       {{"prepared", prepared}, {"data_hash", outlook->data_hash}, {"samples", outlook->samples}, {"items", outlook->items}}},
      {"steps", {{"per_epoch", steps}, {"total", steps * job.epochs}, {"exact", outlook->exact}}},
      {"tokens",
       {{"per_step", std::llround(drawn.tokens_per_step)},
        {"largest_micro_step_of_a_rank", largest},
        {"steps_drawn", drawn.steps}}},
      {"parameters", layout.parameter_count()},
      {"compute_type", model->widths.weights == 2 ? "bf16" : "fp32"},
      {"checkpoint_bytes", plan::CheckpointBytes(layout)},
      {"program_bytes", kProgramBytes},
      {"stages", Stages(workload, job)},
      {"worlds", Worlds(workload, job)}};
  return json.dump(2, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace pixelrec::tools
