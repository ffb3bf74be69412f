// Invariances of the packed decoder: packing, activation checkpointing and the shortened last layer change no number.
#include "worker/model/decoder.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/fidelity_record.h"
#include "tests/worker/model/random_decoder.h"

namespace pixelrec::model {
namespace {

struct Fixture {
  DecoderDescription description = SmallDescription(4, 2, 6);
  DecoderWeights weights;
  Segments segments = MakeSegments({5, 1, 17, 9});
  std::vector<RotaryTable> rotary;
  at::Tensor x;

  explicit Fixture(at::ScalarType dtype = at::kFloat) {
    at::manual_seed(7);
    weights = RandomWeights(description, dtype);
    rotary = MakeRotaryTables(description, 32, at::kCPU);
    x = RandomWeight({segments.tokens(), description.hidden_size}, 1, dtype);
  }

  std::vector<at::Tensor> Inputs() const {
    std::vector<at::Tensor> inputs = Parameters(weights);
    inputs.push_back(x);
    return inputs;
  }

  OutputAndGradients Run(Rows rows, bool checkpointing) const {
    return Differentiate(
        [&](const auto&) {
          return DecoderForward(description, weights, x, segments, rotary, {.rows = rows, .checkpointing = checkpointing});
        },
        Inputs());
  }
};

TEST(Decoder, PackedEqualsOneByOneRuleX7) {
  const Fixture f;
  const at::Tensor packed = DecoderForward(f.description, f.weights, f.x, f.segments, f.rotary, {});
  for (int64_t s = 0; s < f.segments.count(); ++s) {
    const at::Tensor alone = DecoderForward(f.description, f.weights, f.x.narrow(0, f.segments.begin(s), f.segments.length(s)),
                                            MakeSegments({f.segments.length(s)}), f.rotary, {});
    EXPECT_LT(RelativeError(packed.narrow(0, f.segments.begin(s), f.segments.length(s)), alone), 1e-5) << "segment " << s;
  }
}

TEST(Decoder, CheckpointingChangesNothing) {
  const Fixture f;
  for (const Rows rows : {Rows::kAll, Rows::kLastOfSegment}) {
    const OutputAndGradients plain = f.Run(rows, false), checkpointed = f.Run(rows, true);
    EXPECT_TRUE(at::equal(plain.output, checkpointed.output));
    for (size_t i = 0; i < plain.gradients.size(); ++i)
      EXPECT_TRUE(at::equal(plain.gradients[i], checkpointed.gradients[i])) << i;
  }
}

TEST(Decoder, LastRowsEqualTheLastRowsOfAll) {
  const Fixture f;
  const at::Tensor ends = at::tensor({4, 5, 22, 31}, at::kLong);
  const OutputAndGradients all = Differentiate(
      [&](const auto&) { return DecoderForward(f.description, f.weights, f.x, f.segments, f.rotary, {}).index_select(0, ends); },
      f.Inputs());
  const OutputAndGradients last = f.Run(Rows::kLastOfSegment, false);
  EXPECT_LT(RelativeError(last.output, all.output), 1e-5);
  for (size_t i = 0; i < all.gradients.size(); ++i) EXPECT_LT(RelativeError(last.gradients[i], all.gradients[i]), 1e-5) << i;
}

// The plain autograd composition in fp64 is the oracle of the fused fp32 layer.
TEST(Decoder, FusedEqualsComposition) {
  const Fixture single(at::kFloat), twice(at::kDouble);
  for (const Rows rows : {Rows::kAll, Rows::kLastOfSegment}) {
    const OutputAndGradients got = single.Run(rows, false), expected = twice.Run(rows, false);
    EXPECT_LT(RelativeError(got.output, expected.output), 1e-5);
    for (size_t i = 0; i < got.gradients.size(); ++i)
      EXPECT_LT(RelativeError(got.gradients[i], expected.gradients[i]), 2e-5) << i;
  }
}

// A later token never reaches an earlier position, nor another segment (rules M2, Q1).
TEST(Decoder, NothingLeaksBackwardsOrAcross) {
  const Fixture f;
  const at::Tensor before = DecoderForward(f.description, f.weights, f.x, f.segments, f.rotary, {});
  at::Tensor changed = f.x.detach().clone();
  changed[10] += 5.0;  // position 4 of segment 2 (rows 6..22)
  const at::Tensor difference =
      (DecoderForward(f.description, f.weights, changed, f.segments, f.rotary, {}) - before).abs().amax(1);
  for (int64_t row = 0; row < f.segments.tokens(); ++row) {
    EXPECT_EQ(difference[row].item<float>() > 0, row >= 10 && row <= 22) << "row " << row;
  }
}

// Positions start at 0 here. The reference counts up to MAX_TEXT_LENGTH at the embedding token, so an item of n tokens starts at
// MAX_TEXT_LENGTH - n: the same function of rotary positions, of which only differences matter (rule X6).
TEST(Decoder, RotaryPositionsMayStartAnywhereRuleX6) {
  constexpr int64_t kMaxTextLength = 256;
  Fixture f;
  const OutputAndGradients from_zero = f.Run(Rows::kAll, false);
  f.rotary = MakeRotaryTables(f.description, kMaxTextLength + 1, at::kCPU);
  for (int64_t s = 0; s < f.segments.count(); ++s) f.rotary[0].first_rows.push_back(kMaxTextLength - (f.segments.length(s) - 1));
  const OutputAndGradients shifted = f.Run(Rows::kAll, false);
  EXPECT_FALSE(at::equal(shifted.output, from_zero.output));  // another table was read
  ExpectWithin("X6", "rotary positions from 0 against the reference's: output", RelativeError(shifted.output, from_zero.output),
               1e-4);
  double worst = 0;
  for (size_t i = 0; i < shifted.gradients.size(); ++i)
    worst = std::max(worst, RelativeError(shifted.gradients[i], from_zero.gradients[i]));
  ExpectWithin("X6", "rotary positions from 0 against the reference's: gradients", worst, 1e-4);

  f.rotary = {MakeRotaryTable(Rope{.scaling = RopeScaling::kLinear, .factor = 2}, 32, f.description.head_dim, at::kCPU)};
  EXPECT_GT(RelativeError(f.Run(Rows::kAll, false).output, from_zero.output), 1e-2);  // other differences, another function
}

// Learned positions have no such freedom: each segment reads rows first_learned_position and up, as transformers gives them when
// no position_ids are passed, whatever the reference's offset (rule X6).
TEST(Decoder, LearnedPositionsStartAtTheirFirstRowRuleX6) {
  for (const int64_t first : {0, 2}) {
    Fixture f;
    f.description.ropes.clear();
    f.description.learned_positions = 30;
    f.description.first_learned_position = first;
    f.rotary = MakeRotaryTables(f.description, 32, at::kCPU);
    f.weights.position_embeddings = RandomWeight({30, f.description.hidden_size}, 1, at::kFloat);
    f.weights.token_type_embeddings = RandomWeight({2, f.description.hidden_size}, 1, at::kFloat);
    f.weights.embedding_norm = RandomWeight({f.description.hidden_size}, 1, at::kFloat);
    const auto forward = [&](const auto&) { return DecoderForward(f.description, f.weights, f.x, f.segments, f.rotary, {}); };
    const OutputAndGradients run = Differentiate(forward, {f.weights.position_embeddings});
    const at::Tensor rows_read = run.gradients[0].abs().amax(1);
    for (int64_t row = 0; row < 30; ++row)  // the longest segment has 17 tokens
      EXPECT_EQ(rows_read[row].item<float>() > 0, row >= first && row < first + 17) << "row " << row << " from " << first;
    f.description.first_learned_position = first + 8;
    EXPECT_GT(RelativeError(forward(0), run.output), 1e-2) << "an offset is another function";
  }
}

}  // namespace
}  // namespace pixelrec::model
