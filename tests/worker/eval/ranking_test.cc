// Full ranking on real data: the mask, the world size, the popularity baseline of the specification.
#include "worker/eval/ranking.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <vector>

#include "tests/worker/train/small_job.h"
#include "worker/eval/baselines.h"
#include "worker/eval/item_matrix.h"
#include "worker/train/session.h"

namespace pixelrec::eval {
namespace {

using train::RecordingLink;
using train::TestFolder;

TEST(Popularity, MovieTweetingsFiguresOfThePlainReference) {
  const TestFolder folder("popularity");
  const auto dataset_dir = train::PrepareSmallData(folder.path(), 1 << 30);
  auto dataset = data::Dataset::Open(dataset_dir);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  const TargetRanks ranks = RankTargetsByPopularity(**dataset, Split::kTest);
  const std::vector<int> ks = {10};
  const RankingMetrics metrics = ComputeMetrics(ranks.ranks, ranks.ties, ks);
  EXPECT_NEAR(metrics.at[0].recall, 0.1315, 0.00005);
  EXPECT_NEAR(metrics.at[0].ndcg, 0.0663, 0.00005);
}

class RankingTest : public testing::Test {
 protected:
  void SetUp() override {
    auto session =
        train::OpenSession(train::SmallJob(train::PrepareSmallData(folder_.path(), 1500), folder_.path() / "out"), link_);
    ASSERT_TRUE(session.ok()) << session.status();
    session_ = *std::move(session);
    items_ = EncodeAllItems(*session_->dataset, *session_->hllm, session_->group);
  }

  TestFolder folder_{"ranking"};
  RecordingLink link_;
  std::unique_ptr<train::Session> session_;
  at::Tensor items_;
};

// A user's rank against scores computed plainly, one user and one item at a time.
TEST_F(RankingTest, RankIsOnePlusTheHigherScoresWithTheHistoryMaskedRuleW9) {
  const data::Dataset& d = *session_->dataset;
  const TargetRanks ranks = RankTargets(d, *session_->hllm, items_, session_->group, Split::kTest);
  int checked = 0;
  for (uint32_t user = 0; user < d.num_users() && checked < 20; ++user) {
    const auto events = d.history(user);
    if (events.size() < 3) {
      EXPECT_EQ(ranks.ranks[user], kNotRanked);
      continue;
    }
    ++checked;
    const std::vector<uint32_t> history(events.begin(), events.end() - 1);
    const auto top = TopItems(*session_->hllm, items_, history, static_cast<int>(d.num_items()));
    for (const ScoredItem& item : top) EXPECT_EQ(std::count(history.begin(), history.end(), item.item), 0);
    const auto place = std::find_if(top.begin(), top.end(), [&](const ScoredItem& i) { return i.item == events.back(); });
    if (place == top.end()) {
      EXPECT_EQ(ranks.ranks[user], kMaskedTarget);
    } else {
      EXPECT_NEAR(static_cast<double>(place - top.begin() + 1), static_cast<double>(ranks.ranks[user]),
                  1.0);  // near-ties may swap
    }
  }
  EXPECT_EQ(checked, 20);
}

TEST_F(RankingTest, ItemMatrixDoesNotDependOnHowItemsAreCutRuleV1) {
  const uint32_t item = session_->dataset->num_items() / 2;
  const at::Tensor alone = session_->hllm->EncodeItems(PackItems(*session_->dataset, std::vector<uint32_t>{item}));
  EXPECT_LE((alone[0] - items_[item]).abs().max().item<double>(), 1e-5 * alone.abs().max().item<double>());
  EXPECT_EQ(items_[0].abs().max().item<double>(), 0);  // padding
}

// The user model reads the last M - 1 items; what came before only masks.
TEST_F(RankingTest, OnlyTheNewestItemsAreReadRuleV2) {
  const int most = session_->dataset->max_seq_length() - 1;
  std::vector<uint32_t> newest;
  for (int i = 0; i < most; ++i) newest.push_back(static_cast<uint32_t>(2 * i + 1));
  std::vector<uint32_t> longer = {50, 52};
  longer.insert(longer.end(), newest.begin(), newest.end());
  const auto scores = [&](const std::vector<uint32_t>& history) {
    std::map<uint32_t, float> by_item;
    for (const ScoredItem& item : TopItems(*session_->hllm, items_, history, static_cast<int>(session_->dataset->num_items()))) {
      by_item[item.item] = item.score;
    }
    return by_item;
  };
  std::map<uint32_t, float> expected = scores(newest);
  for (const uint32_t masked : {50U, 52U}) EXPECT_EQ(expected.erase(masked), 1U);
  EXPECT_EQ(scores(longer), expected);
}

}  // namespace
}  // namespace pixelrec::eval
