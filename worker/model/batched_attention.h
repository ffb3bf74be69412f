// Attention of all segments at once, for devices on which a kernel for each segment would be too many: GPUs. On a CPU the loops
// of cpu_kernels.h are faster, and the tests compare these with composed ones there.
//
// Private to this folder. Threads: any. Shape letters as in ops.h; S segments, L the longest segment.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "worker/model/ops.h"

namespace pixelrec::model {

// What attention needs of Segments on the device that computes. Made once for all layers: every copy from the host costs more
// than a small kernel.
struct SegmentTensors {
  at::Tensor offsets;    // [S + 1] int32
  at::Tensor count;      // [S + 1] int32: 0, 1, ... S
  at::Tensor positions;  // [T] of each token in its segment
  at::Tensor slots;      // [T] of each token in a batch [S, L] of padded segments
  at::Tensor last;       // [S] position of each segment's last token
  int64_t longest = 0;   // L
};
std::shared_ptr<const SegmentTensors> MakeSegmentTensors(const Segments& segments, const at::Device& device);

// As the functions of ops.h, in any floating dtype on any device: flash attention where it applies, else padded; models that cap
// their scores as composed::.
namespace batched {
at::Tensor SelfAttention(const at::Tensor& qkv_TE, const Segments& segments, const RotaryTable& rotary,
                         const AttentionSpec& spec);
at::Tensor LastQueryAttention(const at::Tensor& q_SQD, const at::Tensor& kv_T2KD, const Segments& segments,
                              const RotaryTable& rotary, const AttentionSpec& spec);
}  // namespace batched

// LibTorch's flash attention over packed segments: bf16 on a GPU from compute capability 8 on. The one file that calls it, since
// its signature changes between versions of LibTorch. Its backward pass adds up with atomics unless deterministic algorithms are
// on.
namespace flash {
bool Takes(const at::Tensor& q_NQD, const AttentionSpec& spec);
// q_NQD: a row per token, or (every_token_asks false) one per segment, its last token's. All rotated. -> [N, Q, D].
at::Tensor Attend(const at::Tensor& q_NQD, const at::Tensor& k_TKD, const at::Tensor& v_TKD, const SegmentTensors& segments,
                  const AttentionSpec& spec, bool every_token_asks);
}  // namespace flash

}  // namespace pixelrec::model
