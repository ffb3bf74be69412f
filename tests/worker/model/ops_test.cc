// The fused fp32 loops against the same mathematics composed of ATen operators in fp64, forward and backward.
#include "worker/model/ops.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/worker/model/random_decoder.h"

namespace pixelrec::model {
namespace {

constexpr double kTolerance = 5e-6;

using Function = std::function<at::Tensor(const std::vector<at::Tensor>&)>;

void ExpectSame(const Function& fused, const Function& composed, const std::vector<at::Tensor>& inputs) {
  std::vector<at::Tensor> doubles;
  for (const at::Tensor& t : inputs) doubles.push_back(t.detach().to(at::kDouble).requires_grad_(true));
  const OutputAndGradients got = Differentiate(fused, inputs), expected = Differentiate(composed, doubles);
  EXPECT_LT(RelativeError(got.output, expected.output), kTolerance);
  for (size_t i = 0; i < inputs.size(); ++i)
    EXPECT_LT(RelativeError(got.gradients[i], expected.gradients[i]), kTolerance) << "input " << i;
}

TEST(Ops, RmsNormRuleM5) {
  at::manual_seed(1);
  for (const int64_t rows : {1, 7, 700}) {
    for (const int64_t hidden : {15, 64, 100}) {
      ExpectSame([](const auto& t) { return RmsNorm(t[0], t[1], 1e-5); },
                 [](const auto& t) { return composed::RmsNorm(t[0], t[1], 1e-5); },
                 {RandomWeight({rows, hidden}, 2, at::kFloat), RandomWeight({hidden}, 1, at::kFloat)});
    }
  }
}

TEST(Ops, SwiGluRuleM5) {
  at::manual_seed(2);
  for (const int64_t width : {1, 15, 16, 172}) {
    ExpectSame([](const auto& t) { return SwiGlu(t[0]); }, [](const auto& t) { return composed::SwiGlu(t[0]); },
               {RandomWeight({300, 2 * width}, 4, at::kFloat)});
  }
}

TEST(Ops, SwiGluSaturatesWithoutNan) {
  const at::Tensor gate_up = at::tensor({-200.0F, 200.0F, 0.0F, 3.0F, 3.0F, 3.0F}, at::kFloat).view({1, 6}).requires_grad_(true);
  const OutputAndGradients got = Differentiate([](const auto& t) { return SwiGlu(t[0]); }, {gate_up});
  EXPECT_TRUE(got.output.isfinite().all().item<bool>());
  EXPECT_TRUE(got.gradients[0].isfinite().all().item<bool>());
  EXPECT_LT(std::abs(got.output[0][0].item<float>()), 1e-30F);
  EXPECT_EQ(got.output[0][1].item<float>(), 600);
}

struct AttentionCase {
  AttentionSpec spec;
  std::vector<int64_t> lengths;
};

std::vector<AttentionCase> AttentionCases() {
  return {{{8, 4, 8, 0.35}, {1, 41, 16, 17, 2, 33, 100}},  // the quickstart's shape: grouped queries
          {{2, 2, 64, 0.125}, {15, 31, 32}},
          {{3, 1, 6, 0.4}, {5, 1, 1, 20}},
          {{1, 1, 2, 0.7}, {64}},
          // Windows that end inside, at and across tiles of 16 queries.
          {{.query_heads = 4, .kv_heads = 2, .head_dim = 8, .scale = 0.35, .window = 2}, {1, 2, 40}},
          {{.query_heads = 4, .kv_heads = 2, .head_dim = 8, .scale = 0.35, .window = 5}, {4, 5, 6, 70}},
          {{.query_heads = 2, .kv_heads = 1, .head_dim = 8, .scale = 0.35, .window = 16}, {15, 16, 17, 33, 64}},
          {{.query_heads = 2, .kv_heads = 2, .head_dim = 8, .scale = 0.35, .window = 40}, {100, 39, 41}},
          {{.query_heads = 2, .kv_heads = 1, .head_dim = 8, .scale = 0.35, .softcap = 3}, {1, 20, 50}},
          {{.query_heads = 2, .kv_heads = 1, .head_dim = 8, .scale = 0.35, .softcap = 2, .window = 7}, {1, 20, 50}},
          // Encoders.
          {{.query_heads = 3, .kv_heads = 3, .head_dim = 8, .scale = 0.35, .causal = false}, {1, 2, 16, 17, 50}}};
}

TEST(Ops, SelfAttentionStaysInsideEachSegmentRuleM2) {
  at::manual_seed(3);
  for (const AttentionCase& c : AttentionCases()) {
    const Segments segments = MakeSegments(c.lengths);
    const RotaryTable rotary = MakeRotaryTable(Rope{}, 128, c.spec.head_dim, at::kCPU);
    const int64_t width = (c.spec.query_heads + 2 * c.spec.kv_heads) * c.spec.head_dim;
    ExpectSame([&](const auto& t) { return SelfAttention(t[0], segments, rotary, c.spec); },
               [&](const auto& t) { return composed::SelfAttention(t[0], segments, rotary, c.spec); },
               {RandomWeight({segments.tokens(), width}, 1.5, at::kFloat)});
  }
}

TEST(Ops, LastQueryAttention) {
  at::manual_seed(4);
  for (const AttentionCase& c : AttentionCases()) {
    const Segments segments = MakeSegments(c.lengths);
    const RotaryTable rotary = MakeRotaryTable(Rope{}, 128, c.spec.head_dim, at::kCPU);
    ExpectSame([&](const auto& t) { return LastQueryAttention(t[0], t[1], segments, rotary, c.spec); },
               [&](const auto& t) { return composed::LastQueryAttention(t[0], t[1], segments, rotary, c.spec); },
               {RandomWeight({segments.count(), c.spec.query_heads * c.spec.head_dim}, 1.5, at::kFloat),
                RandomWeight({segments.tokens(), 2 * c.spec.kv_heads * c.spec.head_dim}, 1.5, at::kFloat)});
  }
}

TEST(Ops, ResultsDoNotDependOnThreads) {
  at::manual_seed(5);
  const Segments segments = MakeSegments(std::vector<int64_t>(50, 23));
  const RotaryTable rotary = MakeRotaryTable(Rope{}, 32, 8, at::kCPU);
  const at::Tensor qkv = RandomWeight({segments.tokens(), 128}, 1, at::kFloat), weight = RandomWeight({64}, 1, at::kFloat);
  const Function f = [&](const auto& t) { return RmsNorm(SelfAttention(t[0], segments, rotary, {8, 4, 8, 0.35}), t[1], 1e-5); };
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const OutputAndGradients one = Differentiate(f, {qkv, weight});
  at::set_num_threads(2);
  const OutputAndGradients two = Differentiate(f, {qkv, weight});
  at::set_num_threads(threads);
  EXPECT_TRUE(at::equal(one.output, two.output));
  for (size_t i = 0; i < one.gradients.size(); ++i) EXPECT_TRUE(at::equal(one.gradients[i], two.gradients[i]));
}

}  // namespace
}  // namespace pixelrec::model
