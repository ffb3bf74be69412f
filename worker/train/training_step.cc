#include "worker/train/training_step.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>

#include <chrono>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/train/failure.h"
#include "worker/train/hllm_step.h"
#include "worker/train/optimizer.h"
#include "worker/train/schedule.h"

namespace pixelrec::train {
namespace {

using Clock = std::chrono::steady_clock;

// Seconds since the last call, or since construction.
class Lap {
 public:
  double operator()() {
    const auto now = Clock::now();
    return std::chrono::duration<double>(now - std::exchange(start_, now)).count();
  }

 private:
  Clock::time_point start_ = Clock::now();
};

// The digest travels as sums: XOR isn't a reduction of every backend, so each 64-bit half is gathered row by row instead.
data::SampleDigest MergeOverRanks(const dist::ProcessGroup& group, const data::SampleDigest& mine) {
  const at::Tensor halves = at::tensor({static_cast<int64_t>(mine.low), static_cast<int64_t>(mine.high)}, at::kLong).view({1, 2});
  const at::Tensor all = group.AllGatherRows(halves, std::vector<int64_t>(static_cast<size_t>(group.world_size()), 1));
  data::SampleDigest merged;
  for (int r = 0; r < group.world_size(); ++r) {
    merged.Merge({static_cast<uint64_t>(all[r][0].item<int64_t>()), static_cast<uint64_t>(all[r][1].item<int64_t>())});
  }
  return merged;
}

}  // namespace

double TrainingStep::Accumulate(BatchPrefetcher& batches, int epoch, StepRecord& record, int64_t& valid_rows) {
  Lap lap;
  double loss_share = 0;
  data::SampleDigest digest;
  const int64_t micro_steps = data::MicroSteps(*s_.dataset, s_.batches, s_.position.step_in_epoch);
  for (int64_t micro = 0; micro < micro_steps; ++micro) {
    const data::RankBatch batch = batches.Next();
    digest.Add(batch, epoch, s_.position.step_in_epoch);
    record.samples += static_cast<int64_t>(batch.samples.size());
    record.tokens += batch.tokens;
    valid_rows = batch.global_valid_rows;
    record.data_seconds += lap();
    const at::Tensor loss = MicroStepLoss(*s_.dataset, *s_.hllm, s_.group, batch);
    record.forward_seconds += lap();
    loss.backward();
    loss_share += loss.item<double>();
    record.backward_seconds += lap();
  }
  s_.position.digest.Merge(MergeOverRanks(s_.group, digest));
  return loss_share;
}

absl::Status TrainingStep::Apply(StepRecord& record) {
  const at::NoGradGuard no_graph;
  record.grad_norm = ClipGradients(*s_.parameters, s_.job.max_grad_norm);
  record.nonfinite = !std::isfinite(record.grad_norm) || !std::isfinite(record.loss);
  if (!record.nonfinite) {
    s_.optimizer->Step(record.learning_rate);
    s_.parameters->weight("logit_scale").clamp_(0, model::kMaxLogitScale);  // rule W14
    nonfinite_in_row_ = 0;
    return absl::OkStatus();
  }
  // Every rank sees the same sums, so every rank skips the same steps (rule W5).
  ++nonfinite_in_row_;
  if (s_.is_rank_zero()) {
    link_.Notice(true, absl::StrCat("step ", record.step, ": loss ", record.loss, ", gradient norm ", record.grad_norm,
                                    ": step skipped (", nonfinite_in_row_, " in a row)"));
  }
  if (nonfinite_in_row_ < s_.job.max_nonfinite_steps) return absl::OkStatus();
  return WithKind(absl::InvalidArgumentError(absl::StrCat("loss or gradients were not finite in ", nonfinite_in_row_,
                                                          " steps in a row, last at step ", record.step)),
                  FailureKind::kNonfiniteLoss,
                  "lower learning_rate or raise warmup_ratio; the last committed checkpoint is good");
}

absl::StatusOr<StepOutcome> TrainingStep::Run(BatchPrefetcher& batches, int epoch) {
  const auto start = Clock::now();
  StepOutcome outcome;
  StepRecord& record = outcome.record;
  record.step = s_.position.step + 1;
  record.epoch = epoch;
  record.learning_rate = s_.job.learning_rate * LearningRateFactor(s_.position.step, s_.total_steps, s_.job.warmup_ratio);
  int64_t valid_rows = 0;
  s_.parameters->ZeroGradients();
  const double loss_share = Accumulate(batches, epoch, record, valid_rows);

  Lap lap;
  s_.group.AllReduceSum(s_.parameters->gradients());
  // One small reduction carries everything else that all ranks must agree on.
  const std::optional<StopRequest> stop = link_.StopRequested();
  at::Tensor statistics = at::tensor({loss_share, static_cast<double>(record.samples), static_cast<double>(record.tokens),
                                      stop ? 1.0 : 0.0, stop && stop->checkpoint ? 1.0 : 0.0},
                                     at::kDouble);
  s_.group.AllReduceSum(statistics);
  record.communication_seconds = lap();
  const double* sums = statistics.const_data_ptr<double>();
  record.loss = sums[0];
  outcome.global_samples = static_cast<int64_t>(sums[1]);
  outcome.global_tokens = static_cast<int64_t>(sums[2]);
  outcome.stop_requested = sums[3] > 0;
  outcome.checkpoint_before_stop = sums[4] > 0;

  auto status = Apply(record);
  record.optimizer_seconds = lap();
  if (!status.ok()) return status;
  s_.position.step += 1;
  s_.position.step_in_epoch += 1;
  s_.position.samples += outcome.global_samples;
  s_.position.tokens += outcome.global_tokens;
  if (!record.nonfinite) {
    s_.position.epoch_loss_sum += record.loss * static_cast<double>(valid_rows);
    s_.position.epoch_loss_rows += valid_rows;
  }
  outcome.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return outcome;
}

}  // namespace pixelrec::train
