#include "worker/plan/memory_plan.h"

#include <gtest/gtest.h>

#include "tests/worker/plan/sample_models.h"

namespace pixelrec::plan {
namespace {

Workload SmallWorkload() {
  return {.model = {.item_llm = SmallLlama(), .user_llm = SmallLlama()},
          .shapes = {LargestShape({.rows = 4, .max_seq_length = 11, .max_text_length = 30, .world_size = 4})},
          .catalogue = 500,
          .tokens_per_item = 20};
}

TEST(MemoryPlan, HigherStagesHoldLessState) {
  int64_t last = 0;
  for (int stage = 3; stage >= 0; --stage) {
    const RankMemory memory = MemoryOf(SmallWorkload(), {4, stage, stage, true});
    EXPECT_GT(memory.state.total() - memory.state.buffers, last) << stage;
    last = memory.state.total() - memory.state.buffers;
    EXPECT_GT(memory.peak, memory.state.total());
  }
}

TEST(MemoryPlan, ThePeakCountsACopyOnlyWhereStepsGoOn) {
  Workload workload = SmallWorkload();
  const Variant variant{4, 3, 3, true};
  const RankMemory with = MemoryOf(workload, variant);
  workload.trains_past_checkpoints = false;
  const RankMemory without = MemoryOf(workload, variant);
  EXPECT_EQ(with.peak - without.peak, with.checkpoint_copy);
  EXPECT_EQ(with.peak, with.state.total() + with.step.activations + with.step.collectives + with.checkpoint_copy);
}

TEST(MemoryPlan, OneRankHasNoCollectives) {
  EXPECT_EQ(MemoryOf(SmallWorkload(), {1, 3, 3, true}).step.collectives, 0);
  EXPECT_GT(MemoryOf(SmallWorkload(), {4, 3, 3, true}).step.collectives, 0);
}

TEST(MemoryPlan, TheLargestShapeCounts) {
  Workload workload = SmallWorkload();
  const int64_t alone = MemoryOf(workload, {4, 2, 2, false}).peak;
  workload.shapes.push_back(LargestShape({.rows = 2, .max_seq_length = 11, .max_text_length = 30, .world_size = 4}));
  EXPECT_EQ(MemoryOf(workload, {4, 2, 2, false}).peak, alone);
}

// Rule W12: with train.grad_cache a step's activations are those of one pass, and the embeddings of all.
TEST(MemoryPlan, PassesOfACachedStepNeedLittle) {
  Workload workload = SmallWorkload();
  const Variant variant{4, 2, 2, false};
  const int64_t whole = MemoryOf(workload, variant).step.activations;
  workload.shapes = {LargestShape({.rows = 4, .max_seq_length = 11, .max_text_length = 30, .world_size = 4, .passes = 4})};
  ASSERT_EQ(workload.shapes[0].passes.size(), 4U);
  EXPECT_EQ(workload.shapes[0].items(), 88);
  const int64_t cached = MemoryOf(workload, variant).step.activations;
  EXPECT_LT(cached, whole / 2);
  EXPECT_GT(cached, whole / 4);
}

TEST(MemoryPlan, StagesMayDiffer) {
  const RankMemory memory = MemoryOf(SmallWorkload(), {4, 3, 0, true});
  EXPECT_GT(memory.state.total(), MemoryOf(SmallWorkload(), {4, 3, 3, true}).state.total());
  EXPECT_LT(memory.state.total() - memory.state.buffers, MemoryOf(SmallWorkload(), {4, 0, 0, true}).state.total());
}

}  // namespace
}  // namespace pixelrec::plan
