// The baselines and the groups on a data set that a person can rank by hand.
#include "worker/eval/baselines.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <memory>
#include <string>

#include "tests/worker/train/small_job.h"
#include "worker/data/prepare.h"
#include "worker/eval/metric_groups.h"

namespace pixelrec::eval {
namespace {

// Train parts (all but the last two events): u: a b a c; v: a b; w: b d; x: a.
constexpr char kInteractions[] =
    "user_id,item_id,timestamp\n"
    "u,a,1\nu,b,2\nu,a,3\nu,c,4\nu,d,5\nu,b,6\n"
    "v,a,1\nv,b,2\nv,c,3\nv,d,4\n"
    "w,b,1\nw,d,2\nw,e,3\nw,f,4\n"
    "x,a,1\nx,e,2\nx,b,3\n";

class BaselinesTest : public testing::Test {
 protected:
  void SetUp() override {
    std::ofstream(folder_.path() / "interactions.csv") << kInteractions;
    std::ofstream(folder_.path() / "items.csv") << "item_id,title\na,A\nb,B\nc,C\nd,D\ne,E\nf,F\n";
    data::PrepareOptions options;
    options.interaction_data = folder_.path() / "interactions.csv";
    options.text_data = folder_.path() / "items.csv";
    options.text_keys = {"title"};
    options.max_seq_length = 2;  // chunks small enough that items are left for negatives
    options.tokenizer_dir = train::QuickstartFile("stories260k");
    options.cache_dir = folder_.path() / "datasets";
    auto report = data::Prepare(options);
    ASSERT_TRUE(report.ok()) << report.status();
    auto dataset = data::Dataset::Open(report->path);
    ASSERT_TRUE(dataset.ok()) << dataset.status();
    dataset_ = *std::move(dataset);
  }

  // By user id, whatever the order of users.
  std::map<std::string, int64_t> ByUser(const TargetRanks& ranks) const {
    std::map<std::string, int64_t> named;
    for (uint32_t user = 0; user < dataset_->num_users(); ++user)
      named[std::string(dataset_->user_name(user))] = ranks.ranks[user];
    return named;
  }

  train::TestFolder folder_{"baselines"};
  std::unique_ptr<data::Dataset> dataset_;
};

TEST_F(BaselinesTest, PopularityWithoutTheHistory) {
  // Vocabulary a b c d e f, counts 4 3 1 1 0 0: places 1..6.
  const auto ranks = ByUser(RankTargetsByPopularity(*dataset_, Split::kTest));
  EXPECT_EQ(ranks.at("u"), kMaskedTarget);  // b is in u's history
  EXPECT_EQ(ranks.at("v"), 1);              // d: a, b and c are masked
  EXPECT_EQ(ranks.at("w"), 3);              // f behind a and c; b, d and e are masked
  EXPECT_EQ(ranks.at("x"), 1);              // b: a and e are masked
}

TEST_F(BaselinesTest, LastItemFollowsTransitionsOfTheTrainParts) {
  // Transitions: a->b 2 (u, v), b->a 1, a->c 1, b->d 1.
  const auto test = ByUser(RankTargetsByLastItem(*dataset_, Split::kTest));
  EXPECT_EQ(test.at("u"), kMaskedTarget);
  EXPECT_EQ(test.at("v"), 1);  // last item c has no successor: popularity, as above
  EXPECT_EQ(test.at("w"), 3);  // last item e has none either
  EXPECT_EQ(test.at("x"), 1);
  const auto validation = ByUser(RankTargetsByLastItem(*dataset_, Split::kValidation));
  EXPECT_EQ(validation.at("v"), 2);  // after b: d (its successor; a is masked), then c
  EXPECT_EQ(validation.at("x"), 4);  // after a: b and c are successors, then d, then e
  EXPECT_EQ(validation.at("w"), 3);  // last item d has no successor: behind a and c
}

TEST_F(BaselinesTest, GroupsPartTheUsers) {
  const std::vector<int> ks = {1, 3};
  const TargetRanks ranks = RankTargetsByPopularity(*dataset_, Split::kTest);
  const RankingMetrics all = ComputeMetrics(ranks.ranks, ranks.ties, ks);
  std::map<std::string, int64_t> users;
  std::map<std::string, double> hits;
  for (const MetricGroup& group : ComputeGroups(*dataset_, Split::kTest, ranks, ks)) {
    users[group.by] += group.metrics.users;
    hits[group.by] += group.metrics.at[1].recall * static_cast<double>(group.metrics.users);
    EXPECT_GT(group.metrics.users, 0);
    if (group.by == kByTargetTrainCount && group.at_most == 0) {
      EXPECT_EQ(group.metrics.users, 1);  // f was never seen in training
      EXPECT_EQ(group.metrics.at[1].recall, 1);
    }
  }
  ASSERT_EQ(users.size(), 2U);
  for (const auto& [by, count] : users) {
    EXPECT_EQ(count, all.users) << by;
    EXPECT_NEAR(hits[by], all.at[1].recall * static_cast<double>(all.users), 1e-9) << by;
  }
}

}  // namespace
}  // namespace pixelrec::eval
