#include "worker/plan/loss_pass.h"

#include <algorithm>

namespace pixelrec::plan {
namespace {

constexpr int64_t kLossBytes = 4;

}  // namespace

LossPass::LossPass(const BatchShape& shape, int64_t hidden, const Widths& widths, int world_size)
    : users_(shape.pairs * hidden * widths.weights),
      targets_(shape.pairs * hidden * widths.embeddings),
      items_(shape.items() * hidden * widths.embeddings),
      mine_(shape.negatives * hidden * widths.embeddings),
      padded_(shape.largest_negatives * hidden * widths.embeddings),
      negatives_(shape.all_negatives * hidden * widths.embeddings),
      fp32_pairs_(shape.pairs * hidden * kLossBytes),
      fp32_negatives_(shape.all_negatives * hidden * kLossBytes),
      converted_((widths.weights == kLossBytes ? 0 : fp32_pairs_) +
                 (widths.embeddings == kLossBytes ? 0 : fp32_pairs_ + fp32_negatives_)),
      scores_(shape.pairs * shape.all_negatives * kLossBytes),
      logits_(shape.pairs * (shape.all_negatives + 1) * kLossBytes),
      filter_(shape.pairs * shape.all_negatives),
      world_size_(world_size) {}

void LossPass::GatherNegatives(Timeline& timeline) const {
  timeline.Hold(mine_);
  if (world_size_ == 1) return;
  // Equal parts, filled up; Gloo gathers into a buffer of its own before they become one tensor without the filling.
  const int64_t gathered = padded_ * world_size_;
  timeline.Touch(padded_ + gathered + std::max(gathered, negatives_));
  timeline.Release(mine_);
  timeline.Hold(negatives_);
}

void LossPass::Forward(Timeline& timeline) const {
  timeline.Hold(targets_ + converted_);              // targets
  timeline.Hold(2 * fp32_pairs_ + fp32_negatives_);  // all three normalised
  timeline.Hold(filter_);
  timeline.Touch(2 * scores_);  // cosines, and the same without what the filter takes
  timeline.Hold(scores_);
  timeline.Hold(3 * logits_);  // before and after the scale, and their log-softmax
  timeline.Touch(filter_);     // statistics
  timeline.Release(scores_ + logits_);
}

void LossPass::Backward(Timeline& timeline) const {
  timeline.Hold(2 * logits_);     // of the loss, then of the logits
  timeline.Release(2 * logits_);  // the first, and the log-softmax
  timeline.Hold(logits_);         // before the scale
  timeline.Touch(logits_);        // of the scale
  timeline.Release(2 * logits_);  // behind the scale, and the kept ones before it
  timeline.Hold(scores_);
  timeline.Release(filter_);
  timeline.Hold(fp32_pairs_ + fp32_negatives_);
  timeline.Release(scores_);
  timeline.Touch(2 * fp32_pairs_);
  timeline.Release(logits_);
  timeline.Release(2 * fp32_pairs_ + fp32_negatives_);  // the normalised ones
  timeline.Touch(3 * std::max(fp32_negatives_, fp32_pairs_));
  // What was normalised, and gradients in its place: of the negatives, users and targets.
  timeline.Release(users_ + targets_ + negatives_ + converted_ + fp32_pairs_ + fp32_negatives_);
  timeline.Hold(users_ + targets_ + negatives_);
  timeline.Hold(items_);
  timeline.Release(targets_);
}

void LossPass::ReturnToItems(Timeline& timeline) const {
  timeline.Touch(items_ + (users_ == targets_ ? 0 : targets_));  // what the inputs add
  timeline.Release(users_);
  timeline.Touch((world_size_ > 1 ? negatives_ : 0) + items_);
  timeline.Release(negatives_);
}

}  // namespace pixelrec::plan
