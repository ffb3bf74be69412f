// The fused fp32 loops against the same mathematics composed of ATen operators in fp64, forward and backward; those on bf16
// against the fp32 loops.
#include "worker/model/ops.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "tests/worker/model/random_decoder.h"
#include "worker/model/cpu_bf16_kernels.h"

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

// What a function of bf16 tensors gives in fp32, rounded once, where `exactly`; else up to a few bf16 roundings.
void ExpectRoundedFp32(const Function& f, const std::vector<at::Tensor>& inputs, bool exactly) {
  std::vector<at::Tensor> rounded, widened;
  for (const at::Tensor& t : inputs) {
    rounded.push_back(t.detach().to(at::kBFloat16).requires_grad_(true));
    widened.push_back(rounded.back().detach().to(at::kFloat).requires_grad_(true));
  }
  const at::Tensor output = f(rounded), expected = f(widened);
  EXPECT_EQ(output.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(at::equal(output, expected.to(at::kBFloat16)));
  const at::Tensor cotangent = at::randn(output.sizes(), at::kFloat).to(at::kBFloat16);
  const auto got = torch::autograd::grad({output}, rounded, {cotangent});
  const auto want = torch::autograd::grad({expected}, widened, {cotangent.to(at::kFloat)});
  for (size_t i = 0; i < inputs.size(); ++i) {
    EXPECT_EQ(got[i].scalar_type(), at::kBFloat16);
    // The backward pass of attention reads the output that went through memory, rounded to 8 bits.
    EXPECT_TRUE(!exactly || at::equal(got[i], want[i].to(at::kBFloat16))) << "input " << i;
    EXPECT_LT(RelativeError(got[i], want[i]), 0.01) << "input " << i;
  }
}

TEST(Ops, Bf16IsFp32RoundedOnceRulesM5W4) {
  at::manual_seed(6);
  for (const int64_t rows : {1, 7, 700}) {
    for (const int64_t hidden : {15, 64, 5000}) {
      ExpectRoundedFp32([](const auto& t) { return RmsNorm(t[0], t[1], 1e-5); },
                        {RandomWeight({rows, hidden}, 2, at::kFloat), RandomWeight({hidden}, 1, at::kFloat)}, true);
    }
  }
  for (const int64_t width : {1, 15, 16, 172, 5000})
    ExpectRoundedFp32([](const auto& t) { return SwiGlu(t[0]); }, {RandomWeight({30, 2 * width}, 4, at::kFloat)}, true);
  for (const AttentionCase& c : AttentionCases()) {
    const Segments segments = MakeSegments(c.lengths);
    const RotaryTable rotary = MakeRotaryTable(Rope{}, 128, c.spec.head_dim, at::kCPU);
    const int64_t q = c.spec.query_heads * c.spec.head_dim, kv = 2 * c.spec.kv_heads * c.spec.head_dim;
    ExpectRoundedFp32([&](const auto& t) { return SelfAttention(t[0], segments, rotary, c.spec); },
                      {RandomWeight({segments.tokens(), q + kv}, 1.5, at::kFloat)}, false);
    ExpectRoundedFp32(
        [&](const auto& t) { return LastQueryAttention(t[0], t[1], segments, rotary, c.spec); },
        {RandomWeight({segments.count(), q}, 1.5, at::kFloat), RandomWeight({segments.tokens(), kv}, 1.5, at::kFloat)}, false);
  }
}

// Every bf16 value, and fp32 values of every exponent around the borders of rounding, as ATen converts them.
TEST(Ops, Bf16ConversionEqualsAten) {
  std::vector<float> values;
  for (uint32_t upper = 0; upper < 0x10000; ++upper) {
    for (const uint32_t lower : {0x0000U, 0x0001U, 0x7FFFU, 0x8000U, 0x8001U, 0xFFFFU})
      values.push_back(std::bit_cast<float>(upper << 16 | lower));
  }
  const auto count = static_cast<int64_t>(values.size());
  const at::Tensor expected = at::tensor(values).to(at::kBFloat16);
  std::vector<cpu::Bf16> narrow(values.size());
  cpu::Narrow(values.data(), count, narrow.data());
  std::vector<float> wide(values.size());
  cpu::Widen(narrow.data(), count, wide.data());
  const at::Tensor got = at::tensor(wide);
  EXPECT_TRUE(at::equal(got.isnan(), expected.isnan()));
  EXPECT_TRUE(at::equal(got.nan_to_num(), expected.to(at::kFloat).nan_to_num()));
}

// 4096 tokens of one id, each with the gradient 1: in bf16 the sum stops at 256.
TEST(Ops, GradientOfAFrequentTokenAddsUpInFp32RuleW4) {
  const at::Tensor weight = at::randn({3, 2}).to(at::kBFloat16).requires_grad_(true);
  weight.set_grad_dtype(std::nullopt);
  weight.mutable_grad() = at::zeros({3, 2}, at::kFloat);
  Embedding(weight, at::ones({4096}, at::kLong)).sum().backward();
  EXPECT_EQ(weight.grad()[1][0].item<float>(), 4096);
  EXPECT_EQ(weight.grad()[0][0].item<float>(), 0);
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
