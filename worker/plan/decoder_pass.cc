#include "worker/plan/decoder_pass.h"

#include <utility>

namespace pixelrec::plan {

DecoderPass::DecoderPass(const checkpoint::DecoderConfig& config, const Numbers& numbers,
                         const std::vector<BatchShape::Part>& parts, bool last_rows, bool checkpointing)
    : layers_(static_cast<size_t>(config.num_hidden_layers)), checkpointing_(checkpointing) {
  int64_t tokens = 0, queries = 0;
  for (const BatchShape::Part& part : parts) {
    inner_.emplace_back(config, numbers, part.tokens);
    last_.emplace_back(config, numbers, part.tokens, last_rows ? &part.items : nullptr);
    tokens += part.tokens;
    sequences_ += part.items;
    queries += last_rows ? part.items : part.tokens;
  }
  input_ = tokens * config.hidden_size * numbers.bytes;
  output_ = queries * config.hidden_size * numbers.bytes;
  const int64_t fp32_rows = numbers.fused ? 0 : queries * config.hidden_size * 4 + output_;
  last_norm_ = config.is_encoder() ? 0 : output_ + queries * 4 + fp32_rows;
}

void DecoderPass::Forward(const Borders& borders, Timeline& timeline) const {
  for (size_t layer = 0; layer < layers_; ++layer) {
    borders.before(layer);
    for (const LayerPass& part : Parts(layer)) checkpointing_ ? part.Forward(timeline) : part.ForwardWithGraph(timeline);
    borders.after(layer);
  }
  // Parts are joined, and gone once their rows stand together; the norm keeps those.
  const int64_t joined = last_.size() > 1 ? output_ : 0;
  timeline.Hold(joined + last_norm_);
  timeline.Release(joined);
}

void DecoderPass::ForwardAlone(Timeline& timeline) const {
  for (size_t layer = 0; layer < layers_; ++layer) {
    // A part's input lives until the part is through, or, being a view of all parts' rows, until they all are.
    int64_t inputs = 0;
    for (const LayerPass& part : Parts(layer)) {
      part.Forward(timeline);
      inputs += part.input();
      if (layer > 0) timeline.Release(std::exchange(inputs, 0));
    }
    timeline.Release(inputs);
  }
  timeline.Touch(output_ + last_norm_);
}

void DecoderPass::Backward(const Borders& borders, Timeline& timeline) const {
  // Through the norm: its rows' gradient takes the place of the output's.
  timeline.Touch(output_);
  timeline.Release(last_norm_);
  for (size_t layer = layers_; layer-- > 0;) {
    borders.before(layer);
    const std::vector<LayerPass>& parts = Parts(layer);
    for (size_t part = parts.size(); part-- > 0;) {
      WeightGradients fate = WeightGradients::kAdded;
      if (parts.size() > 1) fate = part + 1 == parts.size() ? WeightGradients::kFirstPart : WeightGradients::kOtherPart;
      checkpointing_ ? parts[part].RecomputeAndBackward(fate, timeline) : parts[part].Backward(fate, timeline);
    }
    if (parts.size() > 1) timeline.Release(parts.front().weight_gradients());
    borders.after(layer);
  }
  // The parts' gradients become one.
  if (inner_.size() > 1) timeline.Touch(input_);
}

}  // namespace pixelrec::plan
