#include "worker/plan/layer_pass.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace pixelrec::plan {
namespace {

constexpr int64_t kStatisticBytes = 4;

}  // namespace

LayerPass::LayerPass(const checkpoint::DecoderConfig& config, const Numbers& numbers, int64_t tokens, const int64_t* last_rows)
    : numbers_(numbers),
      hidden_(config.hidden_size),
      input_(Rows(tokens, config.hidden_size)),
      output_(Rows(last_rows == nullptr ? tokens : *last_rows, config.hidden_size)) {
  const int64_t queries = last_rows == nullptr ? tokens : *last_rows;
  AddAttention(config, tokens, queries, last_rows != nullptr);
  AddMlp(config, queries);
}

void LayerPass::AddNorm(int64_t rows, NormPlace place) {
  const int64_t whole = Rows(rows, hidden_);
  // Composed: the input and its normalised rows in fp32 too, and those rows rounded.
  const int64_t composed = numbers_.fused ? 0 : rows * hidden_ * kStatisticBytes + whole;
  const bool before = place == NormPlace::kBeforeBranch;
  // Before a branch the norm reads the residual, which is kept as a layer's input or counted here; behind it, a tensor of its
  // own.
  const int64_t kept = operations_.empty() ? 0 : whole;
  operations_.push_back({.saved = kept + rows * kStatisticBytes + composed,
                         .gradient = before ? whole : 0,
                         .input_gradient = whole,
                         .scratch = numbers_.fused ? 0 : 2 * rows * hidden_ * kStatisticBytes,
                         .joins = place != NormPlace::kBehindBranch});
}

void LayerPass::AddAttention(const checkpoint::DecoderConfig& c, int64_t tokens, int64_t queries, bool last) {
  const int64_t q = c.num_attention_heads * c.head_dim, k = c.num_key_value_heads * c.head_dim, e = q + 2 * k;
  const bool pre_norm = !c.is_encoder();
  if (pre_norm) AddNorm(tokens, NormPlace::kBeforeBranch);
  const int64_t normed = pre_norm ? Rows(tokens, hidden_) : 0;
  // The last query of each sequence reads a part of the weights: the gradients of both parts are as large as the whole.
  const int64_t projected = last ? Rows(tokens, 2 * k) + Rows(queries, q) : Rows(tokens, e);
  operations_.push_back({.saved = normed + (last ? Rows(queries, hidden_) : 0),
                         .gradient = projected,
                         .input_gradient = Rows(tokens, hidden_),
                         .weights = Weights(e * hidden_),
                         .scratch = last ? Rows(tokens, hidden_) + Weights(e * hidden_) : 0,
                         .joins = !pre_norm});
  if (c.qk_norm) {
    const int64_t heads = queries * c.num_attention_heads + tokens * c.num_key_value_heads;
    operations_.push_back({.saved = Rows(queries, q) + Rows(tokens, k) + heads * kStatisticBytes,
                           .gradient = projected,
                           .input_gradient = projected,
                           .scratch = 2 * projected});
  }
  const int64_t composed = numbers_.fused ? 0 : Rows(tokens, k) + 2 * Rows(queries, q);
  const int64_t attended = Rows(queries, q) + queries * c.num_attention_heads * kStatisticBytes;
  operations_.push_back(
      {.saved = projected + attended + composed, .gradient = Rows(queries, q), .input_gradient = projected, .scratch = composed});
  const int64_t behind = c.sandwich_norms ? Rows(queries, hidden_) : 0;
  operations_.push_back({.gradient = behind, .input_gradient = Rows(queries, q), .weights = Weights(hidden_ * q)});
  if (c.sandwich_norms) AddNorm(queries, NormPlace::kBehindBranch);
  if (c.is_encoder()) AddNorm(queries, NormPlace::kBehindSum);
  forward_scratch_ = normed + projected + attended + (c.qk_norm ? projected : 0);
}

void LayerPass::AddMlp(const checkpoint::DecoderConfig& c, int64_t queries) {
  const int64_t wide = c.intermediate_size, up = c.gated_mlp ? 2 * wide : wide;
  const bool pre_norm = !c.is_encoder();
  if (pre_norm) AddNorm(queries, NormPlace::kBeforeBranch);
  operations_.push_back({.saved = Rows(queries, hidden_),
                         .gradient = Rows(queries, up),
                         .input_gradient = Rows(queries, hidden_),
                         .weights = Weights(up * hidden_),
                         .joins = !pre_norm});
  // SwiGLU is one kernel; other gates keep the activated half too.
  const bool one_kernel = c.gated_mlp && c.activation == model::Activation::kSilu && numbers_.fused;
  operations_.push_back({.saved = Rows(queries, up) + (c.gated_mlp && !one_kernel ? Rows(queries, wide) : 0),
                         .gradient = Rows(queries, wide),
                         .input_gradient = Rows(queries, up),
                         .scratch = one_kernel ? 0 : Rows(queries, up)});
  const int64_t behind = c.sandwich_norms ? Rows(queries, hidden_) : 0;
  operations_.push_back({.saved = Rows(queries, wide),
                         .gradient = behind,
                         .input_gradient = Rows(queries, wide),
                         .weights = Weights(hidden_ * wide)});
  if (c.sandwich_norms) AddNorm(queries, NormPlace::kBehindBranch);
  if (c.is_encoder()) AddNorm(queries, NormPlace::kBehindSum);
  const int64_t attended = Rows(queries, c.num_attention_heads * c.head_dim);
  forward_scratch_ = std::max(forward_scratch_, attended + Rows(queries, hidden_ + up + wide) + behind + output_);
}

int64_t LayerPass::weight_gradients() const {
  return std::accumulate(operations_.begin(), operations_.end(), int64_t{0},
                         [](int64_t sum, const Operation& operation) { return sum + operation.weights; });
}

int64_t LayerPass::saved() const {
  return std::accumulate(operations_.begin(), operations_.end(), int64_t{0},
                         [](int64_t sum, const Operation& operation) { return sum + operation.saved; });
}

void LayerPass::ForwardWithGraph(Timeline& timeline) const { timeline.Hold(saved() + output_); }

void LayerPass::Forward(Timeline& timeline) const {
  timeline.Touch(forward_scratch_);
  timeline.Hold(output_);
}

void LayerPass::Return(WeightGradients fate, bool residual_is_ours, Timeline& timeline) const {
  const bool weights_stay = fate == WeightGradients::kFirstPart || fate == WeightGradients::kReturned;
  int64_t residual = output_;  // the gradient that goes past the branches
  for (auto operation = operations_.rbegin(); operation != operations_.rend(); ++operation) {
    const bool first = std::next(operation) == operations_.rend();
    // From the rows that had an output to those of the whole sequences.
    if (first && input_ != output_) {
      timeline.Hold(input_);
      timeline.Release(std::exchange(residual, input_));
    }
    timeline.Hold(operation->input_gradient + operation->weights);
    timeline.Touch(operation->scratch);
    timeline.Release(operation->saved + operation->gradient);
    if (!weights_stay) timeline.Release(operation->weights);
    // Where somebody else reads the output's gradient, the first sum is a tensor of its own.
    if (operation->joins && std::exchange(residual_is_ours, true)) timeline.Release(operation->input_gradient);
  }
}

void LayerPass::Backward(WeightGradients fate, Timeline& timeline) const {
  Return(fate, true, timeline);
  timeline.Release(input_);
}

void LayerPass::RecomputeAndBackward(WeightGradients fate, Timeline& timeline) const {
  ForwardWithGraph(timeline);
  Return(WeightGradients::kReturned, false, timeline);
  timeline.Release(output_);           // computed again
  timeline.Release(input_ + output_);  // what was kept, and the output's gradient
  if (fate != WeightGradients::kFirstPart) timeline.Release(weight_gradients());
}

}  // namespace pixelrec::plan
