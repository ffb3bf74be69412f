#include <ATen/ATen.h>

#include <cmath>
#include <vector>

#include "worker/model/ops.h"

namespace pixelrec::model {

namespace composed {

at::Tensor RmsNorm(const at::Tensor& x_TH, const at::Tensor& weight_H, double eps) {
  const at::ScalarType statistics = x_TH.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor x = x_TH.to(statistics);
  return (weight_H * (x * at::rsqrt(x.square().mean(-1, true) + eps)).to(x_TH.scalar_type())).to(x_TH.scalar_type());
}

at::Tensor SwiGlu(const at::Tensor& gate_up_T2I) {
  const auto parts = gate_up_T2I.chunk(2, -1);
  return at::silu(parts[0]) * parts[1];
}

namespace {

at::Tensor Rows(const std::vector<int64_t>& rows, const at::Device& device) { return at::tensor(rows, at::kLong).to(device); }

// Which of a segment's `length` keys its last `rows` queries see, [rows, length].
at::Tensor Visible(int64_t rows, int64_t length, const AttentionSpec& spec, const at::Device& device) {
  const at::Tensor key = at::arange(length, device), query = at::arange(length - rows, length, device).unsqueeze(1);
  if (!spec.causal) return at::ones({rows, length}, key.options().dtype(at::kBool));
  const at::Tensor before = key <= query;
  return spec.window > 0 ? before.logical_and(key > query - spec.window) : before;
}

// q_QRD, k_KLD, v_KLD of one segment, rotated -> [Q, R, D].
at::Tensor AttendSegment(const at::Tensor& q_QRD, const at::Tensor& k_KLD, const at::Tensor& v_KLD, const AttentionSpec& spec) {
  const at::Tensor visible = Visible(q_QRD.size(1), k_KLD.size(1), spec, q_QRD.device());
  if (spec.softcap == 0) {
    return at::scaled_dot_product_attention(q_QRD.unsqueeze(0), k_KLD.unsqueeze(0), v_KLD.unsqueeze(0), visible, 0.0, false,
                                            spec.scale, spec.query_heads != spec.kv_heads)
        .squeeze(0);
  }
  const int64_t group = spec.query_heads / spec.kv_heads;
  const at::Tensor scores = at::bmm(q_QRD, k_KLD.repeat_interleave(group, 0).transpose(1, 2)) * (spec.scale / spec.softcap);
  const at::Tensor capped = (scores.tanh() * spec.softcap).masked_fill(visible.logical_not(), -INFINITY);
  return at::bmm(capped.softmax(-1), v_KLD.repeat_interleave(group, 0));
}

// q_NHD has either a row per token or one per segment; k_THD and v_THD a row per token; all rotated.
at::Tensor AttendBySegment(const at::Tensor& q_NHD, const at::Tensor& k_THD, const at::Tensor& v_THD, const Segments& segments,
                           const AttentionSpec& spec, bool every_token_asks) {
  std::vector<at::Tensor> outputs;
  for (int64_t s = 0; s < segments.count(); ++s) {
    const int64_t length = segments.length(s);
    const auto take = [](const at::Tensor& t, int64_t start, int64_t n) { return t.narrow(0, start, n).transpose(0, 1); };
    const at::Tensor out = AttendSegment(every_token_asks ? take(q_NHD, segments.begin(s), length) : take(q_NHD, s, 1),
                                         take(k_THD, segments.begin(s), length), take(v_THD, segments.begin(s), length), spec);
    outputs.push_back(out.transpose(0, 1).flatten(1));
  }
  return outputs.empty() ? at::zeros({0, q_NHD.size(1) * q_NHD.size(2)}, q_NHD.options()) : at::cat(outputs, 0);
}

// Row of the rotary table for every token.
std::vector<int64_t> TokenRows(const Segments& segments, const RotaryTable& rotary) {
  std::vector<int64_t> rows;
  for (int64_t s = 0; s < segments.count(); ++s) {
    for (int64_t i = 0; i < segments.length(s); ++i) rows.push_back(rotary.first_row(s) + i);
  }
  return rows;
}

}  // namespace

at::Tensor SelfAttention(const at::Tensor& qkv_TE, const Segments& segments, const RotaryTable& rotary,
                         const AttentionSpec& spec) {
  const at::Tensor rows = Rows(TokenRows(segments, rotary), qkv_TE.device());
  const auto parts = qkv_TE.view({-1, spec.query_heads + 2 * spec.kv_heads, spec.head_dim})
                         .split_with_sizes({spec.query_heads, spec.kv_heads, spec.kv_heads}, 1);
  return AttendBySegment(Rotate(parts[0], rows, rotary), Rotate(parts[1], rows, rotary), parts[2], segments, spec, true);
}

at::Tensor LastQueryAttention(const at::Tensor& q_SQD, const at::Tensor& kv_T2KD, const Segments& segments,
                              const RotaryTable& rotary, const AttentionSpec& spec) {
  std::vector<int64_t> last;
  for (int64_t s = 0; s < segments.count(); ++s) last.push_back(rotary.first_row(s) + segments.length(s) - 1);
  const auto parts = kv_T2KD.view({-1, 2 * spec.kv_heads, spec.head_dim}).chunk(2, 1);
  const at::Tensor q = Rotate(q_SQD.view({-1, spec.query_heads, spec.head_dim}), Rows(last, q_SQD.device()), rotary);
  const at::Tensor k = Rotate(parts[0], Rows(TokenRows(segments, rotary), q_SQD.device()), rotary);
  return AttendBySegment(q, k, parts[1], segments, spec, false);
}

}  // namespace composed
}  // namespace pixelrec::model
