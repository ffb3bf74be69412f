// Attention of all segments at once, as GPUs compute it, against the same mathematics segment by segment; here padded, on the
// CPU.
#include "worker/model/batched_attention.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/worker/model/attention_cases.h"

namespace pixelrec::model {
namespace {

constexpr double kTolerance = 5e-6;

void ExpectSame(const TensorFunction& all_at_once, const TensorFunction& one_by_one, const std::vector<at::Tensor>& inputs) {
  ExpectSameOnCpu(all_at_once, one_by_one, inputs, kTolerance);
}

TEST(BatchedAttention, SelfAttentionStaysInsideEachSegmentRuleM2) {
  at::manual_seed(3);
  for (const AttentionCase& c : CasesOfAttention()) {
    const Segments segments = MakeSegments(c.lengths);
    const RotaryTable rotary = MakeRotaryTable(Rope{}, 128, c.spec.head_dim, at::kCPU);
    const int64_t width = (c.spec.query_heads + 2 * c.spec.kv_heads) * c.spec.head_dim;
    ExpectSame([&](const auto& t) { return batched::SelfAttention(t[0], segments, rotary, c.spec); },
               [&](const auto& t) { return composed::SelfAttention(t[0], segments, rotary, c.spec); },
               {RandomWeight({segments.tokens(), width}, 1.5, at::kFloat)});
  }
}

TEST(BatchedAttention, LastQuery) {
  at::manual_seed(4);
  for (const AttentionCase& c : CasesOfAttention()) {
    const Segments segments = MakeSegments(c.lengths);
    const RotaryTable rotary = MakeRotaryTable(Rope{}, 128, c.spec.head_dim, at::kCPU);
    ExpectSame([&](const auto& t) { return batched::LastQueryAttention(t[0], t[1], segments, rotary, c.spec); },
               [&](const auto& t) { return composed::LastQueryAttention(t[0], t[1], segments, rotary, c.spec); },
               {RandomWeight({segments.count(), c.spec.query_heads * c.spec.head_dim}, 1.5, at::kFloat),
                RandomWeight({segments.tokens(), 2 * c.spec.kv_heads * c.spec.head_dim}, 1.5, at::kFloat)});
  }
}

TEST(BatchedAttention, FollowsTheTablesOfDynamicScaling) {
  at::manual_seed(5);
  const Rope rope{.scaling = RopeScaling::kDynamic, .factor = 2, .original_positions = 8};
  const Segments segments = MakeSegments({5, 12, 30});
  const RotaryTable rotary = TableForSegments(rope, MakeRotaryTable(rope, 64, 8, at::kCPU), segments);
  const AttentionSpec spec{2, 1, 8, 0.35};
  ExpectSame([&](const auto& t) { return batched::SelfAttention(t[0], segments, rotary, spec); },
             [&](const auto& t) { return composed::SelfAttention(t[0], segments, rotary, spec); },
             {RandomWeight({segments.tokens(), 32}, 1.5, at::kFloat)});
  ExpectSame([&](const auto& t) { return batched::LastQueryAttention(t[0], t[1], segments, rotary, spec); },
             [&](const auto& t) { return composed::LastQueryAttention(t[0], t[1], segments, rotary, spec); },
             {RandomWeight({3, 16}, 1.5, at::kFloat), RandomWeight({segments.tokens(), 16}, 1.5, at::kFloat)});
}

TEST(BatchedAttention, OfNoSegmentsIsEmpty) {
  const RotaryTable rotary = MakeRotaryTable(Rope{}, 8, 8, at::kCPU);
  EXPECT_EQ(batched::SelfAttention(at::zeros({0, 32}), Segments{}, rotary, {2, 1, 8, 0.35}).sizes(),
            (std::vector<int64_t>{0, 16}));
}

TEST(BatchedAttention, FlashIsForGpusAlone) { EXPECT_FALSE(flash::Takes(at::zeros({1, 2, 8}, at::kBFloat16), {2, 1, 8, 0.35})); }

}  // namespace
}  // namespace pixelrec::model
