#include "worker/model/decoder.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/split_with_sizes.h>

#include <cmath>

#include "worker/model/batched_attention.h"
#include "worker/model/index_tensor.h"
#include "worker/model/layer.h"

namespace pixelrec::model {
namespace {

at::Tensor LastRows(const Segments& segments, const at::Device& device) {
  std::vector<int64_t> rows;
  rows.reserve(static_cast<size_t>(segments.count()));
  for (int64_t s = 0; s < segments.count(); ++s) rows.push_back(segments.begin(s) + segments.length(s) - 1);
  return IndexTensor(rows, device);
}

at::Tensor Lookup(const at::Tensor& weight, const std::vector<int64_t>& rows, bool composed) {
  const at::Tensor ids = IndexTensor(rows, weight.device());
  return composed ? at::embedding(weight, ids) : Embedding(weight, ids);
}

// What encoders add to the embeddings of tokens: learned positions, token type 0, then a norm.
at::Tensor AddLearnedPositions(const DecoderDescription& d, const DecoderWeights& w, const at::Tensor& x_TH,
                               const Segments& segments, bool composed) {
  if (!w.position_embeddings.defined()) return x_TH;
  std::vector<int64_t> rows;
  for (int64_t s = 0; s < segments.count(); ++s) {
    for (int64_t i = 0; i < segments.length(s); ++i) rows.push_back(d.first_learned_position + i);
  }
  const at::Tensor positions = Lookup(w.position_embeddings, rows, composed);
  const at::Tensor sum = x_TH + positions + w.token_type_embeddings.narrow(0, 0, 1);
  return ApplyNorm(d.norm, sum, w.embedding_norm, w.embedding_norm_bias, d.norm_eps, composed);
}

LayerContext ContextOf(const DecoderDescription& d, const Segments& segments, bool composed) {
  LayerContext context;
  context.norm = d.norm;
  context.norm_eps = d.norm_eps;
  context.activation = d.activation;
  context.gated_mlp = d.gated_mlp;
  context.composed = composed;
  context.attention = {.query_heads = d.num_attention_heads,
                       .kv_heads = d.num_key_value_heads,
                       .head_dim = d.head_dim,
                       .scale = d.attention_scale > 0 ? d.attention_scale : 1 / std::sqrt(static_cast<double>(d.head_dim)),
                       .softcap = d.attention_softcap,
                       .causal = d.causal};
  context.segments = segments;
  return context;
}

}  // namespace

std::vector<RotaryTable> MakeRotaryTables(const DecoderDescription& d, int64_t max_length, const at::Device& device) {
  std::vector<RotaryTable> tables;
  for (const Rope& rope : d.ropes) tables.push_back(MakeRotaryTable(rope, max_length, d.head_dim, device));
  if (tables.empty()) tables.push_back(MakeIdentityTable(max_length, d.head_dim, device));
  return tables;
}

at::Tensor EmbedTokens(const DecoderDescription& d, const DecoderWeights& w, const std::vector<int64_t>& token_ids,
                       bool composed) {
  const at::Tensor x = Lookup(w.embed_tokens, token_ids, composed);
  if (!d.scale_embeddings) return x;
  // The factor is rounded to the weights' type first, as transformers does.
  return x * at::scalar_tensor(std::sqrt(static_cast<double>(d.hidden_size)), x.options().requires_grad(false));
}

namespace {

// Sequences that a layer computes at once.
struct Part {
  Segments segments;
  LayerContext shared;
  std::vector<RotaryTable> tables;
};

std::vector<Part> MakeParts(const DecoderDescription& description, const Segments& segments,
                            const std::vector<RotaryTable>& rotary, const ForwardOptions& options, const at::Device& device) {
  std::vector<int64_t> counts = options.parts;
  if (counts.empty()) counts = {segments.count()};
  std::vector<Part> parts;
  int64_t next = 0;
  for (const int64_t count : counts) {
    Part& part = parts.emplace_back();
    for (const int64_t end = next + count; next < end; ++next) part.segments.Append(segments.length(next));
    if (!device.is_cpu()) part.segments.tensors = MakeSegmentTensors(part.segments, device);
    part.tables = rotary;
    for (size_t i = 0; i < description.ropes.size(); ++i)
      part.tables[i] = TableForSegments(description.ropes[i], rotary[i], part.segments);
    part.shared = ContextOf(description, part.segments, options.composed);
  }
  TORCH_CHECK(next == segments.count(), "parts of ", next, " sequences, not ", segments.count());
  return parts;
}

at::Tensor PartThroughLayer(const DecoderDescription& description, const DecoderWeights& weights, size_t index, const Part& part,
                            const at::Tensor& x_TH, const ForwardOptions& options) {
  const LayerAttention layer = description.layers.empty() ? LayerAttention{} : description.layers[index];
  auto context = c10::make_intrusive<LayerContext>(part.shared);
  context->attention.window = layer.window;
  context->rotary = part.tables[static_cast<size_t>(layer.rope)];
  if (options.rows == Rows::kLastOfSegment && index + 1 == weights.layers.size())
    context->last_rows = LastRows(part.segments, x_TH.device());
  const LayerWeights& w = weights.layers[index];
  return options.checkpointing ? CheckpointedLayer(context, w, x_TH) : Layer(*context, w, x_TH);
}

}  // namespace

at::Tensor DecoderForward(const DecoderDescription& description, const DecoderWeights& weights, const at::Tensor& x_TH,
                          const Segments& segments, const std::vector<RotaryTable>& rotary, const ForwardOptions& options) {
  const std::vector<Part> parts = MakeParts(description, segments, rotary, options, x_TH.device());
  const at::Tensor embedded_TH = AddLearnedPositions(description, weights, x_TH, segments, options.composed);
  if (options.schedule != nullptr) options.schedule->AfterForward(0);
  std::vector<int64_t> rows;
  for (const Part& part : parts) rows.push_back(part.segments.tokens());
  std::vector<at::Tensor> x = {embedded_TH};
  if (parts.size() > 1) x = at::split_with_sizes(embedded_TH, rows);
  for (size_t layer = 0; layer < weights.layers.size(); ++layer) {
    const size_t unit = layer + 1;
    MarkBorder(options.schedule, unit - 1, unit, x);
    if (options.schedule != nullptr) options.schedule->BeforeForward(unit);
    for (size_t i = 0; i < parts.size(); ++i) x[i] = PartThroughLayer(description, weights, layer, parts[i], x[i], options);
    if (options.schedule != nullptr) options.schedule->AfterForward(unit);
  }
  MarkBorder(options.schedule, weights.layers.size(), kNoUnit, x);
  const at::Tensor joined = x.size() == 1 ? x.front() : at::cat(x, 0);
  if (!weights.norm.defined()) return joined;
  return ApplyNorm(description.norm, joined, weights.norm, {}, description.norm_eps, options.composed);
}

}  // namespace pixelrec::model
