#include "ctl/plan/plan_text.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "ctl/render/quantity.h"
#include "ctl/render/table.h"

namespace pixelrec::ctl {
namespace {

std::string PlanLine(const std::string& key, const std::string& value) {
  std::string label = absl::StrCat("  ", key);
  label.resize(std::max<size_t>(15, label.size() + 1), ' ');
  return absl::StrCat(label, OneLine(value), "\n");
}

std::string PlannedSteps(const JobPlan& plan) {
  const char* basis = plan.prepared      ? "exact: the dataset is prepared"
                      : plan.exact_steps ? "exact: counted in interaction_data"
                                         : "estimate: from the first rows of interaction_data";
  return absl::StrCat(GroupDigits(plan.steps_per_epoch), " an epoch, ", GroupDigits(plan.total_steps), " in all (", basis, ")");
}

std::string PlannedTokens(const JobPlan& plan) {
  const std::string largest = GroupDigits(plan.largest_micro_step);
  if (plan.steps_drawn == 0) {
    return absl::StrCat("at most ", GroupDigits(plan.tokens_per_step), " a step, ", largest,
                        " in a rank's micro-step (bound: the dataset isn't prepared)");
  }
  return absl::StrCat(GroupDigits(plan.tokens_per_step), " a step, at most ", largest, " in a rank's micro-step (of ",
                      GroupDigits(plan.steps_drawn), " steps of epoch 1)");
}

std::string PlannedStages(const PlannedMemory& memory) {
  if (memory.item_zero_stage == memory.user_zero_stage) return absl::StrCat(memory.item_zero_stage);
  return absl::StrCat("item ", memory.item_zero_stage, ", user ", memory.user_zero_stage);
}

std::string PlannedStageTable(const JobPlan& plan) {
  constexpr auto kRight = Table::Align::kRight;
  Table table({{""},
               {"ZERO"},
               {"CHECKPOINTING"},
               {"WEIGHTS", kRight},
               {"MASTERS", kRight},
               {"GRADIENTS", kRight},
               {"MOMENTS", kRight},
               {"BUFFERS", kRight},
               {"ACTIVATIONS", kRight},
               {"COLLECTIVES", kRight},
               {"CHECKPOINT COPY", kRight},
               {"PEAK", kRight}});
  for (const PlannedMemory& m : plan.stages) {
    table.Add({m.chosen ? "*" : "", PlannedStages(m), m.gradient_checkpointing ? "yes" : "no", BytesText(m.weights),
               BytesText(m.masters), BytesText(m.gradients), BytesText(m.moments), BytesText(m.buffers), BytesText(m.activations),
               BytesText(m.collectives), BytesText(m.checkpoint_copy), BytesText(m.peak)});
  }
  return table.Text("  ");
}

std::string VerdictText(const FitVerdict& fit) {
  switch (fit.fit) {
    case Fit::kFits:
      return absl::StrCat("yes: ", fit.text);
    case Fit::kMayFit:
      return absl::StrCat("perhaps: ", fit.text);
    case Fit::kNever:
      return absl::StrCat("no: ", fit.text);
    case Fit::kUnknown:
      break;
  }
  return absl::StrCat("unknown: ", fit.text);
}

}  // namespace

int64_t ResultBytes(const v1::JobSpec& spec, const JobPlan& plan) {
  const v1::CheckpointSpec& checkpoint = spec.checkpoint();
  const bool recovery = checkpoint.every_steps() > 0 || checkpoint.every_seconds() > 0;
  const int64_t checkpoints = spec.train().num_train_epochs() + (recovery ? checkpoint.keep() : 0);
  return checkpoints * plan.checkpoint_bytes + plan.checkpoint_bytes / 3;  // best_model/ is the weights alone
}

std::string PlanText(const v1::JobSpec& spec, const JobPlan& plan, const FitVerdict& fit, std::optional<int64_t> free_disk) {
  const std::string disk =
      absl::StrCat(BytesText(plan.checkpoint_bytes), " each; all results ", BytesText(ResultBytes(spec, plan)),
                   free_disk ? absl::StrCat(" of ", BytesText(*free_disk), " free") : "", " in ", spec.output_dir());
  return absl::StrCat("job ", spec.name(), ": ", plan.workers, plan.workers == 1 ? " worker, " : " workers, ",
                      GroupDigits(plan.global_batch_size), " users a step\n", PlanLine("steps", PlannedSteps(plan)),
                      PlanLine("tokens", PlannedTokens(plan)),
                      PlanLine("parameters", absl::StrCat(GroupDigits(plan.parameters), " trained, in ", plan.compute_type,
                                                          " on CPUs like this one's")),
                      PlanLine("checkpoints", disk), PlanLine("fits", VerdictText(fit)),
                      "\nBytes of one rank, the one that holds most (* as the job says; peak: what comes together at once):\n",
                      PlannedStageTable(plan), "\n  evaluation ", BytesText(plan.chosen().evaluation), " and writing best_model ",
                      BytesText(plan.chosen().best_model), " come when no step runs; the program itself needs ",
                      BytesText(plan.program_bytes), " more\n");
}

}  // namespace pixelrec::ctl
