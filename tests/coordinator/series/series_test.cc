#include "coordinator/series/series.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <future>

#include "tests/common/temporary_folder.h"
#include "tests/coordinator/series/points.h"

namespace pixelrec::coordinator {
namespace {

using testing::ElementsAre;

class SeriesTest : public testing::Test {
 protected:
  std::unique_ptr<Series> Open(size_t max_queued = 4096, int64_t max_bytes = 0) {
    return Series::Start({.file = {.path = dir_.path() / "state" / "metrics.db", .max_bytes = max_bytes},
                          .max_queued = max_queued,
                          .reopen_after = std::chrono::milliseconds(0),
                          .complain = [this](const std::string& text) { complaints_.push_back(text); }});
  }
  void SetUp() override { std::filesystem::create_directory(dir_.path() / "state"); }
  static absl::StatusOr<Series::Page> Ask(Series& series) {
    std::promise<absl::StatusOr<Series::Page>> answer;
    series.Read(1, 0, 10000, [&](absl::StatusOr<Series::Page> page) { answer.set_value(std::move(page)); });
    return answer.get_future().get();
  }
  static std::vector<v1::MetricPoint> All(Series& series) {
    const absl::StatusOr<Series::Page> page = Ask(series);
    EXPECT_TRUE(page.ok()) << page.status();
    return page.ok() ? page->points : std::vector<v1::MetricPoint>();
  }

  TemporaryFolder dir_;
  std::vector<std::string> complaints_;
};

TEST_F(SeriesTest, AReadSeesWhatWasAppendedBeforeIt) {
  auto series = Open();
  for (int i = 1; i <= 100; ++i) {
    series->Append(1, i, Trained(static_cast<uint64_t>(i), i));
    ASSERT_EQ(All(*series).size(), static_cast<size_t>(i));
  }
  series->Forget(1);
  EXPECT_TRUE(All(*series).empty());
}

TEST_F(SeriesTest, WhatIsQueuedAtTheEndIsKept) {
  {
    auto series = Open();
    for (int i = 1; i <= 1000; ++i) series->Append(1, i, Trained(static_cast<uint64_t>(i), i));
  }
  EXPECT_EQ(All(*Open()).size(), 1000U);
}

// The thread stands still in a reader's callback, as it would before a slow disk.
TEST_F(SeriesTest, WhatIsQueuedIsBoundedAndWhatWasLeftOutIsCounted) {
  auto series = Open(4);
  std::promise<void> reached, go_on;
  series->Read(1, 0, 1, [&](const absl::StatusOr<Series::Page>&) {
    reached.set_value();
    go_on.get_future().wait();
  });
  reached.get_future().wait();
  for (int i = 1; i <= 10; ++i) series->Append(1, i, Trained(static_cast<uint64_t>(i), i));
  series->Append(1, 0, Evaluated(11, 10));
  go_on.set_value();
  EXPECT_THAT(Steps(All(*series)), ElementsAre(1, 2, 3, 4, 10)) << "evaluations are not left out";
  series->Append(1, 11, Trained(12, 11));
  EXPECT_EQ(All(*series).back().merged(), 6);
}

TEST_F(SeriesTest, AFileThatCannotBeOpenedIsTriedAgain) {
  std::filesystem::remove(dir_.path() / "state");
  auto series = Open();
  series->Append(1, 1, Trained(1, 1));
  EXPECT_EQ(Ask(*series).status().code(), absl::StatusCode::kPermissionDenied);
  series->Append(1, 2, Trained(2, 2));
  EXPECT_FALSE(Ask(*series).ok());
  EXPECT_EQ(complaints_.size(), 1U);
  std::filesystem::create_directory(dir_.path() / "state");
  series->Append(1, 3, Trained(3, 3));
  EXPECT_THAT(Steps(All(*series)), ElementsAre(3));
  EXPECT_EQ(All(*series)[0].merged(), 2);
}

TEST_F(SeriesTest, OnAFullDiskPointsAreLostOnceSaidAndADeletionMakesRoom) {
  auto series = Open(4096, 1 << 20);
  v1::MetricPoint large = Evaluated(1, 1);
  large.mutable_evaluations(0)->set_name(std::string(100000, 'x'));
  for (uint64_t i = 1; i <= 30; ++i) {
    large.set_sequence(i);
    series->Append(2, 0, large);
    All(*series);
    All(*series);  // alone in its batch: that one could be read is no sign of room
  }
  ASSERT_EQ(complaints_.size(), 1U);
  EXPECT_THAT(complaints_[0], testing::StartsWith("metrics are not kept, jobs go on: metrics file "));
  series->Append(2, 0, large);
  series->Forget(2);
  series->Append(1, 3, Trained(5, 3));
  All(*series);
  series->Append(1, 4, Trained(6, 4));
  EXPECT_EQ(All(*series).back().step(), 4);
  EXPECT_EQ(complaints_.size(), 1U);
}

}  // namespace
}  // namespace pixelrec::coordinator
