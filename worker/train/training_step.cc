#include "worker/train/training_step.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "worker/train/failure.h"
#include "worker/train/grad_cache.h"
#include "worker/train/hllm_step.h"
#include "worker/train/lap.h"
#include "worker/train/optimizer.h"
#include "worker/train/schedule.h"

namespace pixelrec::train {
namespace {

using Clock = std::chrono::steady_clock;

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

void TrainingStep::RunMicroStep(const data::RankBatch& batch, int64_t micro_steps, bool last, Sums& sums, StepRecord& record) {
  s_.whereabouts->Enter(dist::Section::kForward);
  const int64_t passes =
      s_.job.grad_cache ? CachedPasses(*s_.dataset, s_.batches, s_.job.micro_batch_size, s_.position.step_in_epoch) : 1;
  if (passes > 1) {
    const CachedStep done = RunCachedStep(*s_.dataset, *s_.hllm, s_.group, *s_.exchange, batch, passes);
    record.cached_passes = passes;
    record.forward_seconds += done.forward_seconds;
    record.backward_seconds += done.backward_seconds;
    record.communication_seconds += done.communication_seconds;
    sums.loss += done.loss;
    sums.statistics.add_(done.statistics.cpu());
    return;
  }
  Lap lap;
  const MicroStep forward = ForwardMicroStep(*s_.dataset, *s_.hllm, s_.group, batch, s_.job.compat);
  record.forward_seconds += lap();
  s_.whereabouts->Enter(dist::Section::kBackward);
  // The reference has no micro-steps; with them, a rank's mean is the mean over its micro-steps.
  const double weight = s_.job.compat.mean_per_rank ? 1.0 / static_cast<double>(micro_steps) : 1.0;
  (weight == 1 ? forward.loss : forward.loss * weight).backward();
  sums.loss += forward.loss.item<double>() * weight;
  sums.statistics.add_(forward.statistics.cpu());
  record.backward_seconds += lap();
  s_.exchange->FinishBackward(last);
  record.communication_seconds += lap();
}

TrainingStep::Sums TrainingStep::Accumulate(BatchPrefetcher& batches, int epoch, StepRecord& record) {
  Sums sums{.statistics = at::zeros({model::kNceStatistics}, at::kDouble)};
  data::SampleDigest digest;
  const int64_t micro_steps = data::MicroSteps(*s_.dataset, s_.batches, s_.position.step_in_epoch);
  for (int64_t micro = 0; micro < micro_steps; ++micro) {
    Lap lap;
    s_.whereabouts->Enter(dist::Section::kData);
    const data::RankBatch batch = batches.Next();
    digest.Add(batch, epoch, s_.position.step_in_epoch);
    record.samples += static_cast<int64_t>(batch.samples.size());
    record.tokens += batch.tokens;
    record.negatives =
        std::max(record.negatives, std::accumulate(batch.negatives_by_rank.begin(), batch.negatives_by_rank.end(), int64_t{0}));
    sums.global_valid_rows = batch.global_valid_rows;
    record.data_seconds += lap();
    RunMicroStep(batch, micro_steps, micro + 1 == micro_steps, sums, record);
  }
  s_.whereabouts->Enter(dist::Section::kReduce);
  s_.position.digest.Merge(MergeOverRanks(s_.group, digest));
  return sums;
}

void TrainingStep::Reduce(const Sums& mine, const StepFlags& flags, StepOutcome& outcome) {
  StepRecord& record = outcome.record;
  // One small reduction carries everything else that all ranks must agree on.
  const std::optional<StopRequest> stop = link_.StopRequested();
  // A place for each rank, since the sum of their times says nothing: all wait for the slowest.
  at::Tensor waited = at::zeros({s_.group.world_size()}, at::kDouble);
  waited.mutable_data_ptr<double>()[s_.job.rank] = record.data_seconds;
  at::Tensor reduced = at::cat(
      {at::tensor({mine.loss, static_cast<double>(record.samples), static_cast<double>(record.tokens), stop ? 1.0 : 0.0,
                   stop && stop->checkpoint ? 1.0 : 0.0, flags.checkpoint_due ? 1.0 : 0.0, flags.checkpoint_written ? 1.0 : 0.0},
                  at::kDouble),
       mine.statistics, waited});
  s_.group.AllReduceSum(reduced);
  const double* sums = reduced.const_data_ptr<double>();
  record.loss = sums[0];
  outcome.global_samples = static_cast<int64_t>(sums[1]);
  outcome.global_tokens = static_cast<int64_t>(sums[2]);
  outcome.stop_requested = sums[3] > 0;
  outcome.checkpoint_before_stop = sums[4] > 0;
  outcome.checkpoint_due = sums[5] > 0;
  outcome.checkpoint_written = sums[6] == s_.group.world_size();
  const double* statistics = sums + 7;
  const double* waits = statistics + model::kNceStatistics;
  outcome.data_seconds = *std::max_element(waits, waits + s_.group.world_size());
  const double rows = std::max(1.0, statistics[0]);
  record.nce_samples = statistics[1] / rows;
  for (size_t i = 0; i < model::kNceTopK.size(); ++i) {
    record.nce_top.push_back({.k = model::kNceTopK[i], .accuracy = statistics[2 + i] / rows});
  }
  record.scale = std::exp(s_.parameters->weight("logit_scale").item<double>());
}

absl::Status TrainingStep::WatchForCollapse(const StepRecord& record) {
  const auto verdict = collapse_watchdog_.Observe(record.nce_samples, record.negatives);
  if (verdict == CollapseWatchdog::Verdict::kHealthy) return absl::OkStatus();
  const std::string what = absl::StrFormat(
      "the embeddings have collapsed: in %d steps in a row, last at step %d, the filter took nearly all of %d negatives for the "
      "target itself (%.1f logits left a row), so the loss %.4f is no sign of learning and no gradient is left",
      collapse_watchdog_.in_row(), record.step, record.negatives, record.nce_samples, record.loss);
  const std::string hint =
      "raise the batch size or num_negatives, lower learning_rate, raise warmup_ratio; start again from a checkpoint before it";
  if (verdict == CollapseWatchdog::Verdict::kFail) {
    return WithKind(absl::InvalidArgumentError(what), FailureKind::kLossCollapse, hint);
  }
  if (s_.is_rank_zero()) link_.Notice(true, absl::StrCat(what, "; ", hint));
  return absl::OkStatus();
}

absl::Status TrainingStep::Apply(StepRecord& record) {
  const at::NoGradGuard no_graph;
  constexpr double kNoLimit = std::numeric_limits<double>::infinity();
  record.grad_norm = ClipGradients(*s_.exchange, *s_.parameters, s_.job.compat.no_clipping ? kNoLimit : s_.job.max_grad_norm);
  record.nonfinite = !std::isfinite(record.grad_norm) || !std::isfinite(record.loss);
  if (!record.nonfinite) {
    s_.optimizer->Step(record.learning_rate);
    s_.position.unread.Step(record.learning_rate);
    FollowMasters(*s_.exchange, *s_.parameters, s_.job.compat);
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

absl::StatusOr<StepOutcome> TrainingStep::Run(BatchPrefetcher& batches, int epoch, const StepFlags& flags) {
  const auto start = Clock::now();
  s_.whereabouts->BeginStep(s_.position.step);
  StepOutcome outcome;
  StepRecord& record = outcome.record;
  record.step = s_.position.step + 1;
  record.epoch = epoch;
  record.learning_rate = s_.job.learning_rate * LearningRateFactor(s_.position.step, s_.total_steps, s_.job.warmup_ratio);
  s_.parameters->ZeroGradients();
  const Sums mine = Accumulate(batches, epoch, record);

  Lap lap;
  Reduce(mine, flags, outcome);
  record.communication_seconds += lap();
  if (auto status = WatchForCollapse(record); !status.ok()) return status;
  s_.whereabouts->Enter(dist::Section::kOptimize);
  auto status = Apply(record);
  record.optimizer_seconds = lap();
  if (!status.ok()) return status;
  s_.position.step += 1;
  s_.position.step_in_epoch += 1;
  s_.position.samples += outcome.global_samples;
  s_.position.tokens += outcome.global_tokens;
  if (!record.nonfinite) {
    s_.position.epoch_loss_sum += record.loss * static_cast<double>(mine.global_valid_rows);
    s_.position.epoch_loss_rows += mine.global_valid_rows;
  }
  s_.whereabouts->EndStep();
  outcome.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return outcome;
}

}  // namespace pixelrec::train
