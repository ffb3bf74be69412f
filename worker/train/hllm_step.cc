#include "worker/train/hllm_step.h"

#include <ATen/TensorOperators.h>

#include <algorithm>
#include <vector>

#include "worker/eval/item_matrix.h"
#include "worker/model/compat_loss.h"
#include "worker/model/index_tensor.h"

namespace pixelrec::train {

MicroStep ForwardMicroStep(const data::Dataset& dataset, const model::Hllm& hllm, const dist::ProcessGroup& group,
                           const data::RankBatch& batch, const CompatTraining& compat) {
  at::Tensor items_IH = hllm.EncodeItems(eval::PackItems(dataset, batch.items));
  // An item that occurs often gets many gradients: they add up in fp32.
  if (!compat.bf16_rounding) items_IH = items_IH.to(at::kFloat);
  return ForwardFromItems(items_IH, hllm, group, batch, compat);
}

MicroStep ForwardFromItems(const at::Tensor& items_IH, const model::Hllm& hllm, const dist::ProcessGroup& group,
                           const data::RankBatch& batch, const CompatTraining& compat) {
  const auto gather = [&](const std::vector<int64_t>& rows) {
    return items_IH.index_select(0, model::IndexTensor(rows, items_IH.device()));
  };

  // Inputs of a row are all its positives but the last, targets all but the first (rule T2).
  model::Segments histories;
  std::vector<int64_t> inputs, targets;
  for (size_t row = 0; row + 1 < batch.row_offsets.size(); ++row) {
    const auto first = batch.positives.begin() + batch.row_offsets[row],
               last = batch.positives.begin() + batch.row_offsets[row + 1];
    inputs.insert(inputs.end(), first, last - 1);
    targets.insert(targets.end(), first + 1, last);
    histories.Append(last - first - 1);
  }
  const at::Tensor negatives_KH = dist::GatherRowsWithGradient(group, gather(batch.negatives), batch.negatives_by_rank);
  const at::Tensor users_RH = hllm.EncodeUsers(gather(inputs), histories, model::Rows::kAll);
  // What the rank's sum of losses is divided by: rule W3, or the mean of the ranks' means (N5).
  const double rows = static_cast<double>(std::max<int64_t>(1, batch.valid_rows));
  const double divisor =
      compat.mean_per_rank ? rows * group.world_size() : static_cast<double>(std::max<int64_t>(1, batch.global_valid_rows));
  if (compat.bf16_rounding) {
    const auto loss = model::ComputeCompatNceLoss(users_RH, gather(targets), negatives_KH, hllm.weights().logit_scale);
    return {.loss = loss.mean * (rows / divisor), .statistics = model::NceStatistics(loss.logits)};
  }
  const model::NceLoss loss = model::ComputeNceLoss(users_RH, gather(targets), negatives_KH, hllm.weights().logit_scale);
  return {.loss = loss.sum / divisor, .statistics = model::NceStatistics(loss.logits)};
}

}  // namespace pixelrec::train
