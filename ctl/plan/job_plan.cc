#include "ctl/plan/job_plan.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace pixelrec::ctl {
namespace {

using Json = nlohmann::ordered_json;

PlannedMemory MemoryFrom(const Json& stage) {
  const auto bytes = [&](const char* kind) { return stage.at(kind).get<int64_t>(); };
  return {.chosen = stage.at("chosen").get<bool>(),
          .item_zero_stage = stage.at("item_zero_stage").get<int>(),
          .user_zero_stage = stage.at("user_zero_stage").get<int>(),
          .gradient_checkpointing = stage.at("gradient_checkpointing").get<bool>(),
          .weights = bytes("weights"),
          .masters = bytes("masters"),
          .gradients = bytes("gradients"),
          .moments = bytes("moments"),
          .buffers = bytes("buffers"),
          .activations = bytes("activations"),
          .collectives = bytes("collectives"),
          .checkpoint_copy = bytes("checkpoint_copy"),
          .evaluation = bytes("evaluation"),
          .best_model = bytes("best_model"),
          .peak = bytes("peak")};
}

JobPlan PlanFrom(const Json& json) {
  JobPlan plan;
  json.at("workers").get_to(plan.workers);
  json.at("global_batch_size").get_to(plan.global_batch_size);
  json.at("data").at("prepared").get_to(plan.prepared);
  json.at("steps").at("per_epoch").get_to(plan.steps_per_epoch);
  json.at("steps").at("total").get_to(plan.total_steps);
  json.at("steps").at("exact").get_to(plan.exact_steps);
  json.at("tokens").at("per_step").get_to(plan.tokens_per_step);
  json.at("tokens").at("largest_micro_step_of_a_rank").get_to(plan.largest_micro_step);
  json.at("tokens").at("steps_drawn").get_to(plan.steps_drawn);
  json.at("parameters").get_to(plan.parameters);
  json.at("compute_type").get_to(plan.compute_type);
  json.at("checkpoint_bytes").get_to(plan.checkpoint_bytes);
  json.at("program_bytes").get_to(plan.program_bytes);
  for (const Json& stage : json.at("stages")) plan.stages.push_back(MemoryFrom(stage));
  for (const Json& world : json.at("worlds")) {
    plan.worlds.push_back({.workers = world.at("workers").get<int>(),
                           .zero_stage = world.at("zero_stage").get<int>(),
                           .peak = world.at("peak").get<int64_t>()});
  }
  return plan;
}

}  // namespace

const PlannedMemory& JobPlan::chosen() const {
  return *std::find_if(stages.begin(), stages.end(), [](const PlannedMemory& stage) { return stage.chosen; });
}

absl::StatusOr<JobPlan> ParseJobPlan(const Json& json) {
  try {
    JobPlan plan = PlanFrom(json);
    const bool chosen =
        std::any_of(plan.stages.begin(), plan.stages.end(), [](const PlannedMemory& stage) { return stage.chosen; });
    if (chosen) return plan;
    return absl::InternalError("the trainer's plan has no stage that is the job's");
  } catch (const Json::exception& error) {
    return absl::InternalError(absl::StrCat("the trainer's plan is not as expected: ", error.what()));
  }
}

}  // namespace pixelrec::ctl
