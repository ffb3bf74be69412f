#include "worker/data/batch.h"

#include <algorithm>
#include <map>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/worker/data/small_dataset.h"

namespace pixelrec::data {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;

class Batches : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    data_ = new SmallDataset(Synthetic(45, 90, [](int user) { return user % 30; }));
    data_->options.max_seq_length = 6;
    dataset_ = data_->Open().release();
    ASSERT_NE(dataset_, nullptr);
    ASSERT_GT(dataset_->samples().size(), 60u);
  }
  static void TearDownTestSuite() {
    delete dataset_;
    delete data_;
  }

  static std::vector<uint32_t> Chunk(uint64_t sample) {
    const Sample s = dataset_->samples()[sample];
    const auto chunk = dataset_->history(s.user).subspan(s.start, s.length);
    return {chunk.begin(), chunk.end()};
  }

  static std::vector<uint32_t> Items(const RankBatch& batch, const std::vector<int64_t>& indices) {
    std::vector<uint32_t> items;
    for (int64_t i : indices) items.push_back(batch.items.at(static_cast<size_t>(i)));
    return items;
  }

  static SmallDataset* data_;
  static Dataset* dataset_;
};
SmallDataset* Batches::data_ = nullptr;
Dataset* Batches::dataset_ = nullptr;

// What all ranks together see in one micro-step.
struct Union {
  std::vector<uint64_t> samples;
  std::vector<uint32_t> positives;
  std::vector<uint32_t> negatives;
  int64_t valid_rows = 0;
};

TEST_F(Batches, RanksTogetherSeeTheBatchOfOneRank_W1_W2_W10) {
  for (int negatives : {0, 7, 64}) {
    for (int64_t global : {1, 4, 13, 64, 1000}) {
      BatchOptions one{.seed = 9,
                       .global_batch_size = global,
                       .micro_batch_size = std::max<int64_t>(1, global / 2),
                       .num_negatives = negatives};
      SampleDigest reference;
      for (int world = 1; world <= 5; ++world) {
        SampleDigest all;
        for (int64_t step = 0; step < StepsPerEpoch(*dataset_, one); ++step) {
          for (int64_t micro = 0; micro < MicroSteps(*dataset_, one, step); ++micro) {
            const RankBatch whole = MakeBatch(*dataset_, one, 3, step, micro);
            Union got;
            for (int rank = 0; rank < world; ++rank) {
              BatchOptions options = one;
              options.rank = rank;
              options.world_size = world;
              const RankBatch batch = MakeBatch(*dataset_, options, 3, step, micro);
              for (uint64_t s : batch.samples) got.samples.push_back(s);
              for (uint32_t i : Items(batch, batch.positives)) got.positives.push_back(i);
              for (uint32_t i : Items(batch, batch.negatives)) got.negatives.push_back(i);
              got.valid_rows += batch.valid_rows;
              ASSERT_EQ(batch.negatives_by_rank.size(), static_cast<size_t>(world));
              ASSERT_EQ(batch.negatives_by_rank[static_cast<size_t>(rank)], static_cast<int64_t>(batch.negatives.size()));
              ASSERT_EQ(batch.global_valid_rows, whole.global_valid_rows);
              // Shares differ by at most one.
              ASSERT_LE(std::abs(static_cast<double>(batch.samples.size()) - static_cast<double>(whole.samples.size()) / world),
                        1.0);
              SampleDigest mine;
              mine.Add(batch, 3, step);
              all.Merge(mine);
            }
            ASSERT_EQ(got.samples, whole.samples);
            ASSERT_EQ(got.positives, Items(whole, whole.positives));
            ASSERT_EQ(got.negatives, Items(whole, whole.negatives));
            ASSERT_EQ(got.valid_rows, whole.valid_rows);
          }
        }
        if (world == 1) reference = all;
        EXPECT_EQ(all.Hex(), reference.Hex()) << "world " << world << " global " << global << " negatives " << negatives;
      }
    }
  }
}

TEST_F(Batches, EverySampleOncePerEpochTheLastShortBatchKept_W1) {
  for (int64_t global : {1, 7, 32}) {
    const BatchOptions options{.seed = 1, .global_batch_size = global, .micro_batch_size = 3};
    std::vector<uint64_t> seen;
    for (int64_t step = 0; step < StepsPerEpoch(*dataset_, options); ++step) {
      for (int64_t micro = 0; micro < MicroSteps(*dataset_, options, step); ++micro) {
        const RankBatch batch = MakeBatch(*dataset_, options, 2, step, micro);
        EXPECT_GE(batch.samples.size(), 1u);
        seen.insert(seen.end(), batch.samples.begin(), batch.samples.end());
      }
    }
    std::vector<uint64_t> all(dataset_->samples().size());
    for (size_t i = 0; i < all.size(); ++i) all[i] = i;
    EXPECT_NE(seen, all) << "shuffled";
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(seen, all);
  }
}

TEST_F(Batches, PackedRowsWithoutPadding_T1_T2) {
  const BatchOptions options{.seed = 5, .global_batch_size = 20, .micro_batch_size = 20, .rank = 1, .world_size = 3};
  const RankBatch batch = MakeBatch(*dataset_, options, 1, 0, 0);
  ASSERT_GE(batch.samples.size(), 6u);
  ASSERT_EQ(batch.row_offsets.size(), batch.samples.size() + 1);
  const std::vector<uint32_t> positives = Items(batch, batch.positives);
  int64_t valid = 0;
  for (size_t row = 0; row < batch.samples.size(); ++row) {
    const auto chunk = Chunk(batch.samples[row]);
    EXPECT_THAT(std::vector<uint32_t>(positives.begin() + batch.row_offsets[row], positives.begin() + batch.row_offsets[row + 1]),
                ElementsAreArray(chunk));
    valid += static_cast<int64_t>(chunk.size()) - 1;
  }
  EXPECT_EQ(batch.valid_rows, valid);
  EXPECT_EQ(batch.negatives.size(), batch.samples.size() * 6);
  EXPECT_TRUE(std::is_sorted(batch.items.begin(), batch.items.end()));
  EXPECT_EQ(std::set<uint32_t>(batch.items.begin(), batch.items.end()).size(), batch.items.size());
  std::set<int64_t> used(batch.positives.begin(), batch.positives.end());
  used.insert(batch.negatives.begin(), batch.negatives.end());
  EXPECT_EQ(used.size(), batch.items.size()) << "nothing is encoded that nobody reads";
  int64_t tokens = 0;
  for (uint32_t item : batch.items) tokens += static_cast<int64_t>(dataset_->tokens(item).size()) + 1;
  EXPECT_EQ(batch.tokens, tokens);
}

TEST_F(Batches, ValidRowsOfTheStepSumOverMicroSteps_W12) {
  const BatchOptions options{.seed = 5, .global_batch_size = 20, .micro_batch_size = 6};
  int64_t sum = 0;
  EXPECT_EQ(MicroSteps(*dataset_, options, 0), 4);
  for (int64_t micro = 0; micro < 4; ++micro) sum += MakeBatch(*dataset_, options, 1, 0, micro).valid_rows;
  EXPECT_EQ(MakeBatch(*dataset_, options, 1, 0, 2).global_valid_rows, sum);
  EXPECT_EQ(MakeBatch(*dataset_, options, 1, 0, 3).samples.size(), 2u) << "the last micro-step is short";
}

TEST_F(Batches, MicroStepsCutTheStepAndNothingElse_W12) {
  const BatchOptions whole{.seed = 5, .global_batch_size = 20, .micro_batch_size = 20};
  BatchOptions parts = whole;
  parts.micro_batch_size = 6;
  const RankBatch reference = MakeBatch(*dataset_, whole, 1, 1, 0);
  std::vector<uint32_t> negatives;
  for (int64_t micro = 0; micro < 4; ++micro) {
    const RankBatch batch = MakeBatch(*dataset_, parts, 1, 1, micro);
    for (uint32_t item : Items(batch, batch.negatives)) negatives.push_back(item);
  }
  EXPECT_EQ(negatives, Items(reference, reference.negatives));
}

TEST_F(Batches, NegativesAreTrainItemsOutsideTheChunk_W2) {
  const BatchOptions options{.seed = 77, .global_batch_size = 8, .micro_batch_size = 8};
  for (int64_t epoch = 1; epoch <= 4; ++epoch) {
    for (int64_t step = 0; step < StepsPerEpoch(*dataset_, options); ++step) {
      const RankBatch batch = MakeBatch(*dataset_, options, epoch, step, 0);
      const std::vector<uint32_t> negatives = Items(batch, batch.negatives);
      for (size_t row = 0; row < batch.samples.size(); ++row) {
        const auto chunk = Chunk(batch.samples[row]);
        for (size_t slot = 0; slot < 6; ++slot) {
          const uint32_t item = negatives[row * 6 + slot];
          EXPECT_EQ(std::count(chunk.begin(), chunk.end(), item), 0);
          EXPECT_GE(item, 1u);
          EXPECT_LE(item, dataset_->num_train_items());
        }
      }
    }
  }
}

TEST_F(Batches, SharedNegativesAreTheSameInEveryMicroStep_W11) {
  const BatchOptions options{.seed = 5, .global_batch_size = 20, .micro_batch_size = 6, .num_negatives = 33};
  const RankBatch first = MakeBatch(*dataset_, options, 1, 0, 0);
  const RankBatch last = MakeBatch(*dataset_, options, 1, 0, 3);
  EXPECT_EQ(first.negatives.size(), 33u);
  EXPECT_EQ(Items(first, first.negatives), Items(last, last.negatives));
  const RankBatch next = MakeBatch(*dataset_, options, 1, 1, 0);
  EXPECT_NE(Items(first, first.negatives), Items(next, next.negatives));
  const RankBatch other_epoch = MakeBatch(*dataset_, options, 2, 0, 0);
  EXPECT_NE(Items(first, first.negatives), Items(other_epoch, other_epoch.negatives));
}

TEST_F(Batches, ARankMayGetNoRow) {
  const BatchOptions options{.seed = 5, .global_batch_size = 1, .micro_batch_size = 1, .rank = 0, .world_size = 4};
  const RankBatch batch = MakeBatch(*dataset_, options, 1, 0, 0);
  EXPECT_TRUE(batch.samples.empty());
  EXPECT_TRUE(batch.items.empty());
  EXPECT_THAT(batch.row_offsets, ElementsAre(0));
  EXPECT_EQ(batch.valid_rows, 0);
  EXPECT_GT(batch.global_valid_rows, 0);
  EXPECT_EQ(batch.tokens, 0);
}

TEST_F(Batches, EpochsAndSeedsDiffer) {
  std::set<std::string> digests;
  for (uint64_t seed : {1, 2}) {
    for (int64_t epoch : {1, 2}) {
      const BatchOptions options{.seed = seed, .global_batch_size = 10, .micro_batch_size = 10};
      SampleDigest digest;
      digest.Add(MakeBatch(*dataset_, options, epoch, 0, 0), epoch, 0);
      EXPECT_TRUE(digests.insert(digest.Hex()).second);
    }
  }
}

TEST_F(Batches, DigestTellsWhichNegativeServedWhom) {
  const BatchOptions options{.seed = 5, .global_batch_size = 10, .micro_batch_size = 10};
  const RankBatch batch = MakeBatch(*dataset_, options, 1, 0, 0);
  SampleDigest reference;
  reference.Add(batch, 1, 0);
  RankBatch swapped = batch;
  std::swap(swapped.negatives[0], swapped.negatives[6]);
  SampleDigest other;
  other.Add(swapped, 1, 0);
  EXPECT_NE(reference.Hex(), other.Hex());
  SampleDigest twice = reference;
  twice.Merge(reference);
  EXPECT_EQ(twice.Hex(), std::string(32, '0')) << "a step counted twice cancels out: resume must not recount";
}

TEST_F(Batches, Validation_W8) {
  std::vector<uint32_t> users;
  for (uint32_t user = 0; user < dataset_->num_users(); ++user) {
    if (dataset_->history(user).size() >= 3) users.push_back(user);
  }
  ASSERT_EQ(ValidationBatches(*dataset_), static_cast<int64_t>(users.size() + 63) / 64);
  size_t at = 0;
  for (int64_t index = 0; index < ValidationBatches(*dataset_); ++index) {
    const ValidationBatch batch = MakeValidationBatch(*dataset_, 5, index);
    auto item = [&](int64_t i) { return batch.items.at(static_cast<size_t>(i)); };
    ASSERT_EQ(batch.negatives.size(), batch.targets.size() * 6);
    for (size_t row = 0; row < batch.targets.size(); ++row, ++at) {
      const auto events = dataset_->history(users[at]);
      EXPECT_EQ(item(batch.targets[row]), events[events.size() - 2]);
      std::vector<uint32_t> history;
      for (int64_t i = batch.row_offsets[row]; i < batch.row_offsets[row + 1]; ++i)
        history.push_back(item(batch.history[static_cast<size_t>(i)]));
      const auto train = events.first(events.size() - 2);
      const auto last = train.last(std::min<size_t>(train.size(), 5));
      EXPECT_THAT(history, ElementsAreArray(last));
      for (size_t slot = 0; slot < 6; ++slot) {
        const uint32_t negative = item(batch.negatives[row * 6 + slot]);
        EXPECT_EQ(std::count(history.begin(), history.end(), negative), 0);
        EXPECT_NE(negative, item(batch.targets[row]));
      }
    }
  }
  EXPECT_EQ(at, users.size());
  const ValidationBatch again = MakeValidationBatch(*dataset_, 5, 0);
  EXPECT_EQ(again.negatives, MakeValidationBatch(*dataset_, 5, 0).negatives);
  EXPECT_NE(again.negatives, MakeValidationBatch(*dataset_, 6, 0).negatives);
}

}  // namespace
}  // namespace pixelrec::data
