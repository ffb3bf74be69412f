#include <ATen/ops/_flash_attention_forward.h>

#include <optional>

#include "worker/model/batched_attention.h"

namespace pixelrec::model::flash {
namespace {

constexpr int64_t kLargestHeadDim = 256;
constexpr int64_t kHeadDimStep = 8;

}  // namespace

bool Takes(const at::Tensor& q_NQD, const AttentionSpec& spec) {
  return q_NQD.is_cuda() && q_NQD.scalar_type() == at::kBFloat16 && spec.softcap == 0 && spec.head_dim <= kLargestHeadDim &&
         spec.head_dim % kHeadDimStep == 0;
}

at::Tensor Attend(const at::Tensor& q_NQD, const at::Tensor& k_TKD, const at::Tensor& v_TKD, const SegmentTensors& segments,
                  const AttentionSpec& spec, bool every_token_asks) {
  // Queries are aligned with the last keys, so a single query sees what a segment's last token sees.
  const std::optional<int64_t> left = spec.window > 0 ? std::optional<int64_t>(spec.window - 1) : std::nullopt;
  const std::optional<int64_t> right = spec.window > 0 ? std::optional<int64_t>(0) : std::nullopt;
  return std::get<0>(at::_flash_attention_forward(q_NQD, k_TKD, v_TKD, every_token_asks ? segments.offsets : segments.count,
                                                  segments.offsets, every_token_asks ? segments.longest : 1, segments.longest,
                                                  /*dropout_p=*/0.0, /*is_causal=*/spec.causal,
                                                  /*return_debug_mask=*/false, spec.scale, left, right));
}

}  // namespace pixelrec::model::flash
