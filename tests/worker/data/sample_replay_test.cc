#include "worker/data/sample_replay.h"

#include "gtest/gtest.h"
#include "tests/worker/data/small_dataset.h"

namespace pixelrec::data {
namespace {

class Replay : public testing::Test {
 protected:
  void SetUp() override {
    data_.options.max_seq_length = 6;
    dataset_ = data_.Open();
    ASSERT_NE(dataset_, nullptr);
  }
  int64_t samples() const { return static_cast<int64_t>(dataset_->samples().size()); }

  SmallDataset data_{Synthetic(45, 90, [](int user) { return user % 30; })};
  std::unique_ptr<Dataset> dataset_;
};

// As three ranks train, in micro-steps.
TEST_F(Replay, IsWhatRanksTogetherVisit_W1_W2_W10) {
  BatchOptions options{.seed = 3, .global_batch_size = 13, .micro_batch_size = 5, .world_size = 3};
  const int64_t steps_per_epoch = StepsPerEpoch(*dataset_, options), last = steps_per_epoch + 2;
  SampleDigest digest;
  int64_t visited = 0;
  for (int64_t step = 0; step < last; ++step) {
    for (int64_t micro = 0; micro < MicroSteps(*dataset_, options, step % steps_per_epoch); ++micro) {
      for (options.rank = 0; options.rank < 3; ++options.rank) {
        const RankBatch batch = MakeBatch(*dataset_, options, step / steps_per_epoch + 1, step % steps_per_epoch, micro);
        digest.Add(batch, step / steps_per_epoch + 1, step % steps_per_epoch);
        visited += static_cast<int64_t>(batch.samples.size());
      }
    }
  }
  SampleReplay replay(*dataset_, options);
  for (int64_t step = 1; step <= last; ++step) replay.AdvanceTo(step);
  EXPECT_EQ(replay.samples(), visited);
  EXPECT_EQ(replay.digest().Hex(), digest.Hex());
  SampleReplay at_once(*dataset_, options);
  at_once.AdvanceTo(last);
  EXPECT_EQ(at_once.digest().Hex(), digest.Hex());
}

TEST_F(Replay, AnEpochVisitsEverySampleOnce_W1) {
  SampleReplay replay(*dataset_, {.seed = 3, .global_batch_size = 13});
  replay.AdvanceTo(2 * replay.steps_per_epoch());
  ASSERT_EQ(replay.epochs().size(), 2U);
  for (const SampleReplay::Epoch& epoch : replay.epochs()) {
    EXPECT_EQ(epoch.samples, samples());
    EXPECT_EQ(epoch.distinct, samples());
  }
  EXPECT_EQ(replay.epochs()[1].epoch, 2);
  EXPECT_EQ(replay.epochs()[1].step, 2 * replay.steps_per_epoch());
  EXPECT_NE(replay.epochs()[0].digest.Hex(), replay.epochs()[1].digest.Hex());
  SampleDigest both = replay.epochs()[0].digest;
  both.Merge(replay.epochs()[1].digest);
  EXPECT_EQ(both.Hex(), replay.digest().Hex());
}

TEST_F(Replay, TheReferencesPaddingVisitsSomeTwice_T5) {
  const int ranks = samples() % 4 != 0 ? 4 : 7;
  BatchOptions options{.seed = 3, .global_batch_size = 4L * ranks, .micro_batch_size = 4L * ranks, .reference_ranks = ranks};
  options.compat.reference_sampler = true;
  SampleReplay replay(*dataset_, options);
  replay.AdvanceTo(replay.steps_per_epoch());
  ASSERT_EQ(replay.epochs().size(), 1U);
  EXPECT_EQ(replay.epochs()[0].samples % ranks, 0);
  EXPECT_GT(replay.epochs()[0].samples, samples());
  EXPECT_EQ(replay.epochs()[0].distinct, samples());
}

}  // namespace
}  // namespace pixelrec::data
