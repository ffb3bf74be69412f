#include "worker/model/batched_attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <vector>

#include "worker/model/index_tensor.h"

namespace pixelrec::model {

std::shared_ptr<const SegmentTensors> MakeSegmentTensors(const Segments& segments, const at::Device& device) {
  const int64_t count = segments.count();
  int64_t longest = 0;
  for (int64_t s = 0; s < count; ++s) longest = std::max(longest, segments.length(s));
  std::vector<int64_t> positions, slots, last;
  for (int64_t s = 0; s < count; ++s) {
    for (int64_t i = 0; i < segments.length(s); ++i) {
      positions.push_back(i);
      slots.push_back(s * longest + i);
    }
    last.push_back(segments.length(s) - 1);
  }
  auto tensors = std::make_shared<SegmentTensors>();
  tensors->offsets = IndexTensor(segments.offsets, device).to(at::kInt);
  tensors->count = at::arange(count + 1, at::TensorOptions(at::kInt).device(device));
  tensors->positions = IndexTensor(positions, device);
  tensors->slots = IndexTensor(slots, device);
  tensors->last = IndexTensor(last, device);
  tensors->longest = longest;
  return tensors;
}

namespace {

// Which keys each query sees, to broadcast to [S, heads, queries, L]; padding is seen by padding alone.
at::Tensor Visible(const SegmentTensors& segments, const AttentionSpec& spec, bool every_token_asks) {
  const at::Tensor key = at::arange(segments.longest, segments.last.options());
  const at::Tensor last = segments.last.view({-1, 1, 1, 1});
  if (!spec.causal) return key <= last;
  const at::Tensor query = every_token_asks ? key.view({-1, 1}) : last;
  const at::Tensor before = key <= query;
  return spec.window > 0 ? before.logical_and(key > query - spec.window) : before;
}

at::Tensor AttendPadded(const at::Tensor& q_NQD, const at::Tensor& k_TKD, const at::Tensor& v_TKD, const SegmentTensors& segments,
                        const AttentionSpec& spec, bool every_token_asks) {
  const int64_t count = segments.last.size(0), longest = segments.longest;
  const auto pad = [&](const at::Tensor& t_TGD) {
    return at::zeros({count * longest, t_TGD.size(1), t_TGD.size(2)}, t_TGD.options().requires_grad(false))
        .index_copy(0, segments.slots, t_TGD)
        .view({count, longest, t_TGD.size(1), t_TGD.size(2)})
        .transpose(1, 2);
  };
  const at::Tensor q_SQND = every_token_asks ? pad(q_NQD) : q_NQD.unsqueeze(2);
  const at::Tensor out_SQND =
      at::scaled_dot_product_attention(q_SQND, pad(k_TKD), pad(v_TKD), Visible(segments, spec, every_token_asks),
                                       /*dropout_p=*/0.0, /*is_causal=*/false, spec.scale, spec.query_heads != spec.kv_heads);
  if (!every_token_asks) return out_SQND.squeeze(2);
  return out_SQND.transpose(1, 2).reshape({count * longest, spec.query_heads, spec.head_dim}).index_select(0, segments.slots);
}

at::Tensor Attend(const at::Tensor& q_NQD, const at::Tensor& k_TKD, const at::Tensor& v_TKD, const SegmentTensors& segments,
                  const AttentionSpec& spec, bool every_token_asks) {
  const auto attend = flash::Takes(q_NQD, spec) ? flash::Attend : AttendPadded;
  return attend(q_NQD, k_TKD, v_TKD, segments, spec, every_token_asks).flatten(1);
}

std::shared_ptr<const SegmentTensors> TensorsOf(const Segments& segments, const at::Device& device) {
  return segments.tensors != nullptr ? segments.tensors : MakeSegmentTensors(segments, device);
}

// Row of the rotary table for each position; segments with rows of their own (dynamic scaling) are looked up on the host.
at::Tensor RowsOf(const at::Tensor& positions, const Segments& segments, const RotaryTable& rotary, bool every_token) {
  if (rotary.first_rows.empty()) return positions;
  std::vector<int64_t> first;
  for (int64_t s = 0; s < segments.count(); ++s)
    first.insert(first.end(), every_token ? static_cast<size_t>(segments.length(s)) : 1, rotary.first_row(s));
  return positions + IndexTensor(first, positions.device());
}

}  // namespace

namespace batched {

at::Tensor SelfAttention(const at::Tensor& qkv_TE, const Segments& segments, const RotaryTable& rotary,
                         const AttentionSpec& spec) {
  if (spec.softcap != 0 || segments.tokens() == 0) return composed::SelfAttention(qkv_TE, segments, rotary, spec);
  const auto tensors = TensorsOf(segments, qkv_TE.device());
  const auto parts = qkv_TE.view({-1, spec.query_heads + 2 * spec.kv_heads, spec.head_dim})
                         .split_with_sizes({spec.query_heads, spec.kv_heads, spec.kv_heads}, 1);
  const at::Tensor rows = RowsOf(tensors->positions, segments, rotary, true);
  return Attend(Rotate(parts[0], rows, rotary), Rotate(parts[1], rows, rotary), parts[2], *tensors, spec, true);
}

at::Tensor LastQueryAttention(const at::Tensor& q_SQD, const at::Tensor& kv_T2KD, const Segments& segments,
                              const RotaryTable& rotary, const AttentionSpec& spec) {
  if (spec.softcap != 0 || segments.tokens() == 0) return composed::LastQueryAttention(q_SQD, kv_T2KD, segments, rotary, spec);
  const auto tensors = TensorsOf(segments, q_SQD.device());
  const auto parts = kv_T2KD.view({-1, 2 * spec.kv_heads, spec.head_dim}).chunk(2, 1);
  const at::Tensor q =
      Rotate(q_SQD.view({-1, spec.query_heads, spec.head_dim}), RowsOf(tensors->last, segments, rotary, false), rotary);
  const at::Tensor k = Rotate(parts[0], RowsOf(tensors->positions, segments, rotary, true), rotary);
  return Attend(q, k, parts[1], *tensors, spec, false);
}

}  // namespace batched
}  // namespace pixelrec::model
