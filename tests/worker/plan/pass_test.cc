// What a pass takes it gives back, in every family; recomputing keeps less.
#include <gtest/gtest.h>

#include <vector>

#include "tests/worker/plan/sample_models.h"
#include "worker/plan/decoder_pass.h"
#include "worker/plan/loss_pass.h"

namespace pixelrec::plan {
namespace {

const std::vector<BatchShape::Part> kParts = {
    {.tokens = 300, .items = 20}, {.tokens = 280, .items = 19}, {.tokens = 40, .items = 3}};

struct Case {
  const char* name;
  checkpoint::DecoderConfig config;
};
const std::vector<Case>& Families() {
  static const std::vector<Case> cases = {{"llama", SmallLlama()},
                                          {"qwen3", SmallQwen3()},
                                          {"gemma3", SmallGemma3()},
                                          {"bert", SmallBert()},
                                          {"one layer", SmallLlama(1)}};
  return cases;
}

// -> the peak of forward and backward pass, from and to the input (or its gradient) alone.
int64_t PeakOf(const DecoderPass& pass) {
  Timeline timeline;
  timeline.Hold(pass.input());
  pass.Forward({}, timeline);
  timeline.Release(pass.output());  // read by the loss, and gone
  timeline.Hold(pass.output());     // its gradient
  pass.Backward({}, timeline);
  EXPECT_EQ(timeline.live(), pass.input());
  return timeline.peak();
}

TEST(DecoderPass, GivesBackWhatItTook) {
  for (const Case& family : Families()) {
    for (const Numbers numbers :
         {Numbers{}, Numbers{.bytes = 2}, Numbers{.bytes = 2, .fused = false}, Numbers{.trained = false}}) {
      for (const bool last_rows : {false, true}) {
        SCOPED_TRACE(testing::Message() << family.name << ", " << numbers.bytes << " bytes, last rows " << last_rows);
        const int64_t recomputed = PeakOf(DecoderPass(family.config, numbers, kParts, last_rows, true));
        const int64_t kept = PeakOf(DecoderPass(family.config, numbers, kParts, last_rows, false));
        if (family.config.num_hidden_layers > 1) {
          EXPECT_LT(recomputed, kept);
        }
      }
    }
  }
}

TEST(DecoderPass, RecomputingKeepsLittleMoreOfDeeperModels) {
  const auto peak = [](int64_t layers, bool checkpointing) {
    return PeakOf(DecoderPass(SmallLlama(layers), {}, kParts, true, checkpointing));
  };
  // A layer more is one [T, H] more with recomputation, and all that a layer keeps without.
  const int64_t rows = 620 * 64 * 4;
  EXPECT_EQ(peak(9, true) - peak(8, true), rows);
  EXPECT_GT(peak(9, false) - peak(8, false), 8 * rows);
}

TEST(DecoderPass, WithoutAGraphLittleIsHeld) {
  for (const Case& family : Families()) {
    const DecoderPass pass(family.config, {}, kParts, true, false);
    Timeline timeline;
    timeline.Hold(pass.input());
    pass.ForwardAlone(timeline);
    EXPECT_EQ(timeline.live(), pass.output()) << family.name;
    EXPECT_LE(timeline.peak(), PeakOf(pass)) << family.name;
  }
}

TEST(DecoderPass, TellsItsBorders) {
  std::vector<int> told;
  const DecoderPass::Borders borders{.before = [&](size_t layer) { told.push_back(static_cast<int>(layer)); },
                                     .after = [&](size_t layer) { told.push_back(-1 - static_cast<int>(layer)); }};
  const DecoderPass pass(SmallLlama(2), {}, kParts, true, true);
  Timeline timeline;
  pass.Forward(borders, timeline);
  pass.Backward(borders, timeline);
  EXPECT_EQ(told, (std::vector<int>{0, -1, 1, -2, 1, -2, 0, -1}));
}

TEST(LossPass, GivesBackWhatItTook) {
  const int64_t hidden = 64;
  for (const Widths widths : {Widths{}, Widths{2, 2, 2}, Widths{2, 4, 4}}) {
    for (const int world_size : {1, 3}) {
      SCOPED_TRACE(testing::Message() << widths.weights << " and " << widths.embeddings << " bytes, " << world_size << " ranks");
      BatchShape shape{
          .passes = {kParts}, .rows = 4, .pairs = 35, .negatives = 44, .largest_negatives = 55, .all_negatives = 140};
      if (world_size == 1) shape.negatives = shape.largest_negatives = shape.all_negatives;
      const LossPass loss(shape, hidden, widths, world_size);
      const int64_t users = shape.pairs * hidden * widths.weights, items = shape.items() * hidden * widths.embeddings;
      Timeline timeline;
      loss.GatherNegatives(timeline);
      timeline.Hold(users);
      loss.Forward(timeline);
      loss.Backward(timeline);
      // Gradients of users, negatives and items.
      EXPECT_EQ(timeline.live(), users + shape.all_negatives * hidden * widths.embeddings + items);
      loss.ReturnToItems(timeline);  // the users' inputs have as many rows as the users
      EXPECT_EQ(timeline.live(), items);
    }
  }
}

}  // namespace
}  // namespace pixelrec::plan
