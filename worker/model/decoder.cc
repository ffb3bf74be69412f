#include "worker/model/decoder.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/tensor.h>

#include <cmath>

#include "worker/model/layer.h"

namespace pixelrec::model {
namespace {

at::Tensor LastRows(const Segments& segments, const at::Device& device) {
  std::vector<int64_t> rows;
  rows.reserve(static_cast<size_t>(segments.count()));
  for (int64_t s = 0; s < segments.count(); ++s) rows.push_back(segments.begin(s) + segments.length(s) - 1);
  return at::tensor(rows, at::kLong).to(device);
}

// What encoders add to the embeddings of tokens: learned positions, token type 0, then a norm.
at::Tensor AddLearnedPositions(const DecoderDescription& d, const DecoderWeights& w, const at::Tensor& x_TH,
                               const Segments& segments) {
  if (!w.position_embeddings.defined()) return x_TH;
  std::vector<int64_t> rows;
  for (int64_t s = 0; s < segments.count(); ++s) {
    for (int64_t i = 0; i < segments.length(s); ++i) rows.push_back(d.first_learned_position + i);
  }
  const at::Tensor positions = at::embedding(w.position_embeddings, at::tensor(rows, at::kLong).to(x_TH.device()));
  const at::Tensor sum = x_TH + positions + w.token_type_embeddings.narrow(0, 0, 1);
  return ApplyNorm(d.norm, sum, w.embedding_norm, w.embedding_norm_bias, d.norm_eps);
}

LayerContext ContextOf(const DecoderDescription& d, const Segments& segments) {
  LayerContext context;
  context.norm = d.norm;
  context.norm_eps = d.norm_eps;
  context.activation = d.activation;
  context.gated_mlp = d.gated_mlp;
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

at::Tensor EmbedTokens(const DecoderDescription& d, const DecoderWeights& w, const std::vector<int64_t>& token_ids) {
  const at::Tensor x = at::embedding(w.embed_tokens, at::tensor(token_ids, at::kLong).to(w.embed_tokens.device()));
  if (!d.scale_embeddings) return x;
  // The factor is rounded to the weights' type first, as transformers does.
  return x * at::scalar_tensor(std::sqrt(static_cast<double>(d.hidden_size)), x.options().requires_grad(false));
}

at::Tensor DecoderForward(const DecoderDescription& description, const DecoderWeights& weights, const at::Tensor& x_TH,
                          const Segments& segments, const std::vector<RotaryTable>& rotary, Rows rows, bool checkpointing) {
  std::vector<RotaryTable> tables = rotary;
  for (size_t i = 0; i < description.ropes.size(); ++i) tables[i] = TableForSegments(description.ropes[i], rotary[i], segments);
  const LayerContext shared = ContextOf(description, segments);
  at::Tensor x = AddLearnedPositions(description, weights, x_TH, segments);
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    const LayerAttention layer = description.layers.empty() ? LayerAttention{} : description.layers[i];
    auto context = c10::make_intrusive<LayerContext>(shared);
    context->attention.window = layer.window;
    context->rotary = tables[static_cast<size_t>(layer.rope)];
    if (rows == Rows::kLastOfSegment && i + 1 == weights.layers.size()) context->last_rows = LastRows(segments, x.device());
    x = checkpointing ? CheckpointedLayer(context, weights.layers[i], x) : Layer(*context, weights.layers[i], x);
  }
  return weights.norm.defined() ? ApplyNorm(description.norm, x, weights.norm, {}, description.norm_eps) : x;
}

}  // namespace pixelrec::model
