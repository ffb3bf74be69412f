#include "worker/plan/batch_shape.h"

#include <gtest/gtest.h>

namespace pixelrec::plan {
namespace {

TEST(BatchShape, BoundsHoldEveryUserAtTheLongest) {
  const BatchShape shape = LargestShape({.rows = 4, .max_seq_length = 11, .max_text_length = 255, .world_size = 2});
  EXPECT_EQ(shape.pairs, 40);
  EXPECT_EQ(shape.negatives, 44);
  EXPECT_EQ(shape.all_negatives, 88);
  EXPECT_EQ(shape.items(), 88);
  EXPECT_EQ(shape.tokens(), 88 * 256);
  // A part is full at 2,048 tokens: eight items.
  ASSERT_EQ(shape.passes.front().size(), 11U);
  EXPECT_EQ(shape.passes[0][0].items, 8);
}

TEST(BatchShape, NegativesOfTheWholeStepAreSharedRuleW11) {
  const BatchShape shape =
      LargestShape({.rows = 4, .max_seq_length = 11, .max_text_length = 7, .num_negatives = 100, .world_size = 3});
  EXPECT_EQ(shape.negatives, 34);
  EXPECT_EQ(shape.all_negatives, 100);
}

TEST(BatchShape, PooledItemsHaveNoEmbeddingTokenRuleX5) {
  const Bounds bounds{.rows = 1, .max_seq_length = 3, .max_text_length = 9, .world_size = 1};
  Bounds pooled = bounds;
  pooled.pooled = true;
  EXPECT_EQ(LargestShape(bounds).tokens(), 60);
  EXPECT_EQ(LargestShape(pooled).tokens(), 54);
}

}  // namespace
}  // namespace pixelrec::plan
