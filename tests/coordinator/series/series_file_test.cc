#include "coordinator/series/series_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/common/temporary_folder.h"
#include "tests/coordinator/series/points.h"

namespace pixelrec::coordinator {
namespace {

using testing::ElementsAre;

class SeriesFileTest : public testing::Test {
 protected:
  void SetUp() override { Reopen(); }
  void Reopen(size_t max_points = 2000) {
    file_.reset();
    note_.clear();
    auto file = SeriesFile::Open({.path = Path(), .max_points = max_points}, &note_);
    ASSERT_TRUE(file.ok()) << file.status();
    file_ = *std::move(file);
  }
  std::filesystem::path Path() const { return dir_.path() / "metrics.db"; }
  void Append(int64_t record, const v1::MetricPoint& point, uint64_t job = 1) {
    ASSERT_TRUE(file_->Transact([&] { return file_->Append(job, record, point); }).ok());
  }
  std::vector<v1::MetricPoint> All(uint64_t job = 1) {
    auto page = file_->Read(job, 0, 100000);
    EXPECT_TRUE(page.ok()) << page.status();
    return page.ok() ? page->points : std::vector<v1::MetricPoint>();
  }

  TemporaryFolder dir_;
  std::unique_ptr<SeriesFile> file_;
  std::string note_;
};

TEST_F(SeriesFileTest, KeepsSeriesOfJobsApartAndOverARestart) {
  Append(1, Trained(3, 10));
  Append(2, Trained(4, 20));
  Append(1, Trained(7, 10), 2);
  Reopen();
  EXPECT_THAT(Steps(All()), ElementsAre(10, 20));
  EXPECT_EQ(All()[1].training().loss(), 0.5);
  EXPECT_THAT(Steps(All(2)), ElementsAre(10));
  ASSERT_TRUE(file_->Forget(1).ok());
  EXPECT_TRUE(All().empty());
  EXPECT_EQ(All(2).size(), 1U);
}

TEST_F(SeriesFileTest, IsReadPageByPage) {
  for (uint64_t i = 1; i <= 5; ++i) Append(static_cast<int64_t>(i), Trained(2 * i, static_cast<int64_t>(i)));
  auto page = file_->Read(1, 0, 2);
  ASSERT_TRUE(page.ok());
  EXPECT_THAT(Steps(page->points), ElementsAre(1, 2));
  EXPECT_TRUE(page->more);
  page = file_->Read(1, page->points.back().sequence(), 3);
  EXPECT_THAT(Steps(page->points), ElementsAre(3, 4, 5));
  EXPECT_FALSE(page->more);
  EXPECT_TRUE(file_->Read(1, UINT64_MAX, 3)->points.empty());
}

TEST_F(SeriesFileTest, CountsWhatNeverCameAndTakesNothingTwice) {
  Append(2, Trained(3, 20));
  Append(5, Trained(6, 50));
  Append(5, Trained(6, 50));  // repeated
  Append(4, Trained(5, 40));  // late
  Append(5, Trained(9, 50));  // the same figures, said again
  Reopen();                   // what it knows of the newest is read again
  Append(5, Trained(10, 50));
  Append(6, Trained(11, 60));
  const std::vector<v1::MetricPoint> points = All();
  EXPECT_THAT(Steps(points), ElementsAre(20, 50, 60));
  EXPECT_EQ(points[0].merged(), 1);
  EXPECT_EQ(points[1].merged(), 2);
  EXPECT_EQ(points[2].merged(), 0);
}

TEST_F(SeriesFileTest, ANewGenerationCountsFromOneAgain) {
  Append(7, Trained(9, 70));
  Append(1, Trained(2, 60, 2));
  Append(3, Trained(4, 80, 2));
  const std::vector<v1::MetricPoint> points = All();
  EXPECT_THAT(Steps(points), ElementsAre(70, 60, 80));
  EXPECT_LT(points[0].sequence(), points[1].sequence());
  EXPECT_EQ(points[1].merged(), 0);
  EXPECT_EQ(points[2].merged(), 1);
}

TEST_F(SeriesFileTest, ALongSeriesIsThinnedOutAndSaysSo) {
  Reopen(40);
  for (int i = 1; i <= 1000; ++i) {
    Append(i, Trained(static_cast<uint64_t>(2 * i), i));
    if (i % 100 == 0) Append(0, Evaluated(static_cast<uint64_t>(2 * i) + 1, i));
    ASSERT_LE(All().size(), 40U + 10U);
  }
  int64_t records = 0;
  size_t evaluations = 0;
  for (const v1::MetricPoint& point : All()) {
    records += point.has_training() ? 1 + point.merged() : 0;
    evaluations += point.evaluations_size() > 0 ? 1 : 0;
  }
  EXPECT_EQ(records, 1000);
  EXPECT_EQ(evaluations, 10U);
  EXPECT_EQ(All().back().step(), 1000);
}

TEST_F(SeriesFileTest, WhatFailsInATransactionIsUndone) {
  Append(1, Trained(1, 10));
  EXPECT_FALSE(file_
                   ->Transact([&] {
                     EXPECT_TRUE(file_->Append(1, 2, Trained(2, 20)).ok());
                     return absl::InternalError("no");
                   })
                   .ok());
  Append(3, Trained(3, 30));
  EXPECT_THAT(Steps(All()), ElementsAre(10, 30));
  EXPECT_EQ(All()[1].merged(), 1);
}

TEST_F(SeriesFileTest, ADamagedFileIsMovedAside) {
  file_.reset();
  std::ofstream(Path()) << "this is no database, and long enough not to be taken for an empty file";
  std::filesystem::remove(Path().string() + "-wal");
  Reopen();
  EXPECT_THAT(note_, testing::HasSubstr("was damaged"));
  EXPECT_TRUE(std::filesystem::exists(Path().string() + ".damaged"));
  Append(1, Trained(1, 10));
  EXPECT_EQ(All().size(), 1U);
}

TEST_F(SeriesFileTest, ASecondOwnerIsRefused) {
  std::string note;
  EXPECT_EQ(SeriesFile::Open({.path = Path()}, &note).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(SeriesFile::Open({.path = dir_.path() / "no" / "metrics.db"}, &note).status().code(),
            absl::StatusCode::kPermissionDenied);
}

}  // namespace
}  // namespace pixelrec::coordinator
