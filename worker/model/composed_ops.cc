#include <ATen/ATen.h>

#include <cmath>
#include <vector>

#include "worker/model/ops.h"

namespace pixelrec::model {

RotaryTable MakeRotaryTable(int64_t positions, int64_t head_dim, double theta, const at::Device& device) {
  // Frequencies as transformers computes them: fp32 throughout.
  const at::Tensor exponent = at::arange(0, head_dim, 2, at::kFloat) / static_cast<double>(head_dim);
  const at::Tensor frequency = at::reciprocal(at::pow(at::scalar_tensor(theta, at::kFloat), exponent));
  const at::Tensor angle = at::outer(at::arange(positions, at::kFloat), frequency);
  return {angle.cos().to(device), angle.sin().to(device)};
}

namespace composed {

at::Tensor RmsNorm(const at::Tensor& x_TH, const at::Tensor& weight_H, double eps) {
  const at::ScalarType statistics = x_TH.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor x = x_TH.to(statistics);
  return weight_H * (x * at::rsqrt(x.square().mean(-1, true) + eps)).to(x_TH.scalar_type());
}

at::Tensor SwiGlu(const at::Tensor& gate_up_T2I) {
  const auto parts = gate_up_T2I.chunk(2, -1);
  return at::silu(parts[0]) * parts[1];
}

namespace {

// x_NHD rotated by the angles of `positions` (half-split, rule M5).
at::Tensor Rotate(const at::Tensor& x_NHD, const at::Tensor& positions, const RotaryTable& rotary) {
  const at::Tensor cos = rotary.cos.index_select(0, positions).unsqueeze(1).to(x_NHD.scalar_type());
  const at::Tensor sin = rotary.sin.index_select(0, positions).unsqueeze(1).to(x_NHD.scalar_type());
  const auto halves = x_NHD.chunk(2, -1);
  return at::cat({halves[0] * cos - halves[1] * sin, halves[1] * cos + halves[0] * sin}, -1);
}

at::Tensor Positions(const std::vector<int64_t>& positions, const at::Device& device) {
  return at::tensor(positions, at::kLong).to(device);
}

// Segment by segment. q_NHD has either a row per token or one per segment; k_THD and v_THD a row per token; all rotated.
at::Tensor AttendBySegment(const at::Tensor& q_NHD, const at::Tensor& k_THD, const at::Tensor& v_THD, const Segments& segments,
                           bool every_token_asks) {
  std::vector<at::Tensor> outputs;
  for (int64_t s = 0; s < segments.count(); ++s) {
    const int64_t length = segments.length(s), rows = every_token_asks ? length : 1;
    const auto take = [](const at::Tensor& t, int64_t start, int64_t n) {
      return t.narrow(0, start, n).transpose(0, 1).unsqueeze(0);
    };
    // One query, the last, sees every key, so only the square case needs the causal mask.
    const at::Tensor out = at::scaled_dot_product_attention(
        take(q_NHD, every_token_asks ? segments.begin(s) : s, rows), take(k_THD, segments.begin(s), length),
        take(v_THD, segments.begin(s), length), {}, 0.0, every_token_asks, {}, q_NHD.size(1) != k_THD.size(1));
    outputs.push_back(out.squeeze(0).transpose(0, 1).flatten(1));
  }
  return outputs.empty() ? at::zeros({0, q_NHD.size(1) * q_NHD.size(2)}, q_NHD.options()) : at::cat(outputs, 0);
}

std::vector<int64_t> TokenPositions(const Segments& segments) {
  std::vector<int64_t> positions;
  for (int64_t s = 0; s < segments.count(); ++s) {
    for (int64_t i = 0; i < segments.length(s); ++i) positions.push_back(i);
  }
  return positions;
}

}  // namespace

at::Tensor SelfAttention(const at::Tensor& qkv_TE, const Segments& segments, const RotaryTable& rotary,
                         const AttentionHeads& heads) {
  const at::Tensor positions = Positions(TokenPositions(segments), qkv_TE.device());
  const auto parts = qkv_TE.view({-1, heads.query_heads + 2 * heads.kv_heads, heads.head_dim})
                         .split_with_sizes({heads.query_heads, heads.kv_heads, heads.kv_heads}, 1);
  return AttendBySegment(Rotate(parts[0], positions, rotary), Rotate(parts[1], positions, rotary), parts[2], segments, true);
}

at::Tensor LastQueryAttention(const at::Tensor& q_SQD, const at::Tensor& kv_T2KD, const Segments& segments,
                              const RotaryTable& rotary, const AttentionHeads& heads) {
  std::vector<int64_t> last;
  for (int64_t s = 0; s < segments.count(); ++s) last.push_back(segments.length(s) - 1);
  const auto parts = kv_T2KD.view({-1, 2 * heads.kv_heads, heads.head_dim}).chunk(2, 1);
  const at::Tensor q = Rotate(q_SQD.view({-1, heads.query_heads, heads.head_dim}), Positions(last, q_SQD.device()), rotary);
  return AttendBySegment(q, Rotate(parts[0], Positions(TokenPositions(segments), q_SQD.device()), rotary), parts[1], segments,
                         false);
}

}  // namespace composed
}  // namespace pixelrec::model
