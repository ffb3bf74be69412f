// Attention on a GPU against the CPU's, segment by segment: padded in fp32, flash in bf16.
#include "tests/device/gpu_test.h"
#include "tests/worker/model/attention_cases.h"
#include "worker/model/batched_attention.h"

namespace pixelrec::model {
namespace {

struct OnGpu {
  at::ScalarType type;
  double tolerance;
};

void CompareCases(const OnGpu& gpu) {
  at::manual_seed(3);
  const auto weight = [&](at::IntArrayRef shape) {
    return RandomWeight(shape, 1.5, at::kFloat).detach().to(FirstGpu(), gpu.type).requires_grad_(true);
  };
  for (const AttentionCase& c : CasesOfAttention()) {
    SCOPED_TRACE(testing::Message() << c.spec.query_heads << " heads of " << c.spec.head_dim << ", window " << c.spec.window);
    const Segments segments = MakeSegments(c.lengths);
    const RotaryTable here = MakeRotaryTable(Rope{}, 128, c.spec.head_dim, FirstGpu());
    const RotaryTable there = MakeRotaryTable(Rope{}, 128, c.spec.head_dim, at::kCPU);
    const int64_t q_width = c.spec.query_heads * c.spec.head_dim, kv_width = 2 * c.spec.kv_heads * c.spec.head_dim;
    ExpectSameOnCpu([&](const auto& t) { return SelfAttention(t[0], segments, here, c.spec); },
                    [&](const auto& t) { return composed::SelfAttention(t[0], segments, there, c.spec); },
                    {weight({segments.tokens(), q_width + kv_width})}, gpu.tolerance);
    ExpectSameOnCpu([&](const auto& t) { return LastQueryAttention(t[0], t[1], segments, here, c.spec); },
                    [&](const auto& t) { return composed::LastQueryAttention(t[0], t[1], segments, there, c.spec); },
                    {weight({segments.count(), q_width}), weight({segments.tokens(), kv_width})}, gpu.tolerance);
  }
}

using GpuAttention = GpuTest;

TEST_F(GpuAttention, PaddedInFp32IsTheCpus) { CompareCases({at::kFloat, 1e-5}); }

TEST_F(GpuAttention, FlashInBf16IsTheCpusUpToRounding) {
  ASSERT_TRUE(flash::Takes(at::zeros({1, 4, 8}, at::TensorOptions(at::kBFloat16).device(FirstGpu())), {4, 2, 8, 0.35}));
  CompareCases({at::kBFloat16, 3e-2});
}

}  // namespace
}  // namespace pixelrec::model
