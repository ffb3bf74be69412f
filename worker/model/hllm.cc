#include "worker/model/hllm.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <limits>
#include <utility>

#include "worker/model/index_tensor.h"

namespace pixelrec::model {

void PackedItems::Append(std::span<const uint32_t> item_tokens) {
  token_ids.insert(token_ids.end(), item_tokens.begin(), item_tokens.end());
  token_ids.push_back(0);
  segments.Append(static_cast<int64_t>(item_tokens.size()) + 1);
}

Hllm::Hllm(const Options& options, HllmWeights weights)
    : options_(options),
      weights_(std::move(weights)),
      item_rotary_(MakeRotaryTables(options.item_llm, options.max_text_length + 1, weights_.item_emb_tokens.device())),
      user_rotary_(MakeRotaryTables(options.user_llm, options.max_seq_length, weights_.item_emb_tokens.device())) {}

namespace {

// The packed items without the places of their embedding tokens.
PackedItems TextsAlone(const PackedItems& items) {
  PackedItems texts;
  for (int64_t s = 0; s < items.segments.count(); ++s) {
    const int64_t begin = items.segments.begin(s), length = items.segments.length(s) - 1;
    TORCH_CHECK(length > 0, "an item without a token has no mean; item_emb_token_n 0 needs a text for every item");
    texts.token_ids.insert(texts.token_ids.end(), items.token_ids.begin() + begin, items.token_ids.begin() + begin + length);
    texts.segments.Append(length);
  }
  return texts;
}

// [T, H] -> [segments, H].
at::Tensor MeanOfSegments(const at::Tensor& x_TH, const Segments& segments) {
  std::vector<int64_t> owners;
  std::vector<float> shares;
  for (int64_t s = 0; s < segments.count(); ++s) {
    owners.insert(owners.end(), static_cast<size_t>(segments.length(s)), s);
    shares.push_back(1.0F / static_cast<float>(segments.length(s)));
  }
  const at::Tensor sums = at::zeros({segments.count(), x_TH.size(1)}, x_TH.options().requires_grad(false))
                              .index_add(0, IndexTensor(owners, x_TH.device()), x_TH);
  return sums * at::tensor(shares, at::kFloat).to(x_TH.options()).unsqueeze(1);
}

}  // namespace

at::Tensor Hllm::ItemForward(const at::Tensor& x_TH, const Segments& segments, const std::vector<int64_t>& parts,
                             Rows rows) const {
  return DecoderForward(options_.item_llm, weights_.item_llm, x_TH, segments, item_rotary_,
                        {.rows = rows,
                         .checkpointing = options_.gradient_checkpointing,
                         .parts = x_TH.is_cpu() ? parts : std::vector<int64_t>{},
                         .composed = options_.composed_ops,
                         .schedule = options_.item_schedule});
}

at::Tensor Hllm::ItemInputs(const PackedItems& items) const {
  const at::Device device = weights_.item_emb_tokens.device();
  const int64_t hidden = options_.item_llm.hidden_size;
  std::vector<int64_t> ends;
  ends.reserve(static_cast<size_t>(items.segments.count()));
  for (int64_t s = 0; s < items.segments.count(); ++s) ends.push_back(items.segments.begin(s) + items.segments.length(s) - 1);
  const at::Tensor tokens = EmbedTokens(options_.item_llm, weights_.item_llm, items.token_ids, options_.composed_ops);
  // Rule M2: the embedding token's row is overwritten, so what id 0 stood for there never matters. A family that scales the
  // embeddings of tokens doesn't scale embeddings that are given to it: neither this row nor the user LLM's inputs.
  return tokens.index_copy(
      0, IndexTensor(ends, device),
      weights_.item_emb_tokens.to(tokens.scalar_type()).view({1, hidden}).expand({items.segments.count(), hidden}));
}

at::Tensor Hllm::EncodeItems(const PackedItems& items) const {
  if (options_.item_schedule != nullptr) options_.item_schedule->BeforeForward(0);
  if (options_.item_emb_token_n > 0)
    return ItemForward(ItemInputs(items), items.segments, PartsOf(items.segments), Rows::kLastOfSegment);
  const PackedItems texts = TextsAlone(items);
  const at::Tensor embedded = EmbedTokens(options_.item_llm, weights_.item_llm, texts.token_ids, options_.composed_ops);
  const at::Tensor hidden_TH = ItemForward(embedded, texts.segments, PartsOf(items.segments), Rows::kAll);
  if (options_.composed_ops || hidden_TH.scalar_type() != at::kBFloat16) return MeanOfSegments(hidden_TH, texts.segments);
  return MeanOfSegments(hidden_TH.to(at::kFloat), texts.segments).to(at::kBFloat16);  // the sum is fp32 (rule W4)
}

at::Tensor Hllm::EncodeUsers(const at::Tensor& history_TH, const Segments& segments, Rows rows) const {
  return DecoderForward(options_.user_llm, weights_.user_llm,
                        history_TH.to(weights_.user_llm.layers.front().up_proj.scalar_type()), segments, user_rotary_,
                        {.rows = rows,
                         .checkpointing = options_.gradient_checkpointing,
                         .parts = {},
                         .composed = options_.composed_ops,
                         .schedule = options_.user_schedule});
}

NceLoss ComputeNceLoss(const at::Tensor& user_RH, const at::Tensor& target_RH, const at::Tensor& negatives_KH,
                       const at::Tensor& logit_scale, double threshold) {
  const auto normalized = [](const at::Tensor& t) {
    const at::Tensor fp32 = t.to(at::kFloat);
    return fp32 / fp32.norm(2, {-1}, true);
  };
  const at::Tensor o = normalized(user_RH), p = normalized(target_RH), n = normalized(negatives_KH);
  const at::Tensor positive = (o * p).sum(-1, true);
  const at::Tensor same_as_target = p.detach().mm(n.detach().t()) > threshold;
  const at::Tensor negative = o.mm(n.t()).masked_fill(same_as_target, std::numeric_limits<float>::lowest());
  const at::Tensor logits = at::cat({positive, negative}, 1) * logit_scale.exp();
  return {.sum = -at::log_softmax(logits, 1).select(1, 0).sum(), .logits = logits};
}

at::Tensor NceStatistics(const at::Tensor& logits) {
  const at::NoGradGuard no_graph;
  const at::Tensor rank = (logits > logits.narrow(1, 0, 1)).sum(1);  // logits before the positive
  const at::Tensor kept = (logits.to(at::kFloat) > std::numeric_limits<float>::lowest() / 100).sum();
  std::vector<at::Tensor> sums = {at::scalar_tensor(logits.size(0), at::kDouble).to(logits.device()), kept.to(at::kDouble)};
  for (const int k : kNceTopK) sums.push_back((rank < k).sum().to(at::kDouble));
  return at::stack(sums);
}

}  // namespace pixelrec::model
