// What a rank holds by kind, on layouts small enough to count by hand.
#include "worker/plan/state_memory.h"

#include <gtest/gtest.h>

namespace pixelrec::plan {
namespace {

// Two units of 640 and 320 elements, and a head of 64 that is never sharded.
dist::UnitLayout Layout(int stage, int rank, int world_size) {
  const std::vector<dist::Unit> units = {
      {"a", {{"a", {{"a", {640}}}}}, stage}, {"b", {{"b", {{"b", {320}}}}}, stage}, {"head", {{"h", {{"h", {64}}}}}, 0}};
  return {units, rank, world_size};
}

constexpr Widths kBf16 = {.weights = 2, .gradients = 2, .embeddings = 2};

void ExpectState(const StateMemory& state, int64_t weights, int64_t masters, int64_t gradients, int64_t moments,
                 int64_t buffers) {
  EXPECT_EQ(state.weights, weights);
  EXPECT_EQ(state.masters, masters);
  EXPECT_EQ(state.gradients, gradients);
  EXPECT_EQ(state.moments, moments + 4);  // and the count of steps
  EXPECT_EQ(state.buffers, buffers);
}

TEST(StateMemory, Fp32ByStage) {
  // A rank of two owns 320 + 192 (320 filled up to a multiple of 128, halved) of the units, and the head.
  const int64_t whole = 640 + 320, filled = 640 + 384, owned = 320 + 192, head = 64;
  ExpectState(StateOf(Layout(0, 0, 2), {}), 4 * (whole + head), 0, 4 * (whole + head), 8 * (whole + head), 0);
  ExpectState(StateOf(Layout(1, 0, 2), {}), 4 * (filled + head), 4 * owned, 4 * (owned + head + filled), 8 * (owned + head), 0);
  ExpectState(StateOf(Layout(2, 0, 2), {}), 4 * (filled + head), 4 * owned, 4 * (owned + head), 8 * (owned + head), 4 * 2 * 640);
  ExpectState(StateOf(Layout(3, 0, 2), {}), 4 * (owned + head), 0, 4 * (owned + head), 8 * (owned + head), 4 * 5 * 640);
}

TEST(StateMemory, Bf16KeepsMastersBesideRoundedCopies) {
  const int64_t whole = 640 + 320, filled = 640 + 384, owned = 320 + 192, head = 64;
  ExpectState(StateOf(Layout(0, 0, 2), kBf16), 2 * (whole + head), 4 * (whole + head), 6 * (whole + head), 8 * (whole + head), 0);
  ExpectState(StateOf(Layout(1, 0, 2), kBf16), 2 * (filled + head), 4 * (owned + head), 4 * (owned + head) + 2 * (filled + head),
              8 * (owned + head), 0);
  ExpectState(StateOf(Layout(3, 0, 2), kBf16), 2 * (owned + head), 4 * (owned + head), 4 * (owned + head) + 2 * head,
              8 * (owned + head), 2 * 5 * 640);
}

TEST(StateMemory, Bf16WithFp32GradientsRuleW4) {
  const int64_t whole = 640 + 320, filled = 640 + 384, owned = 320 + 192, head = 64;
  constexpr Widths kWidths = {.weights = 2, .gradients = 4, .embeddings = 4};
  std::vector<dist::Unit> units = {{"a", {{"a", {{"a", {640}}}}}, 1}, {"b", {{"b", {{"b", {320}}}}}, 1}};
  units.push_back({.name = "head", .leaves = {{"h", {{"h", {64}}}}}, .stage = 0, .keeps_masters = true});
  // The head's weights are its masters.
  ExpectState(StateOf({units, 0, 2}, kWidths), 2 * filled + 4 * head, 4 * owned, 4 * (owned + head) + 4 * filled,
              8 * (owned + head), 0);
  ExpectState(StateOf({units, 0, 1}, kWidths), 2 * whole + 4 * head, 4 * whole, 4 * (whole + head), 8 * (whole + head), 0);
}

TEST(StateMemory, OneRankHasNothingToShard) {
  EXPECT_EQ(StateOf(Layout(3, 0, 1), {}).total(), StateOf(Layout(0, 0, 1), {}).total());
}

TEST(StateMemory, CheckpointsAreWrittenByWhoOwns) {
  EXPECT_EQ(CheckpointBytes(Layout(0, 0, 2)), 12 * (640 + 320 + 64));
  EXPECT_EQ(CheckpointBytes(Layout(3, 1, 2)), 12 * (640 + 320 + 64));
  EXPECT_EQ(CheckpointCopy(Layout(0, 0, 2), 0), 12 * (640 + 320 + 64));
  EXPECT_EQ(CheckpointCopy(Layout(0, 1, 2), 1), 0);
  EXPECT_EQ(CheckpointCopy(Layout(2, 1, 2), 1), 12 * (320 + 192 + 64));
}

}  // namespace
}  // namespace pixelrec::plan
