#include "coordinator/state/metric_point.h"

#include <gtest/gtest.h>

namespace pixelrec::coordinator {
namespace {

constexpr Now kNow{std::chrono::seconds(1764000000), std::chrono::seconds(5)};

v1::RankReport Progress(int64_t step, int64_t record, const std::string& section = "train") {
  v1::RankReport report;
  report.set_generation(3);
  report.set_sequence(7);
  v1::Progress& progress = *report.mutable_trainer()->mutable_progress();
  progress.set_step(step);
  progress.set_record(record);
  progress.set_section(section);
  progress.set_loss(2.5);
  return report;
}

TEST(MetricPoint, HasItsPlaceFromTheReport) {
  const auto point = TrainingPoint(Progress(10, 1), std::nullopt, kNow);
  ASSERT_TRUE(point.has_value());
  EXPECT_EQ(point->sequence(), (uint64_t{3} << 32) + 7);
  EXPECT_EQ(point->generation(), 3U);
  EXPECT_EQ(point->step(), 10);
  EXPECT_EQ(point->training().loss(), 2.5);
  EXPECT_EQ(point->time().seconds(), 1764000000);
}

TEST(MetricPoint, IsMadeOnceOfARecord) {
  const v1::Progress before = Progress(10, 1).trainer().progress();
  EXPECT_FALSE(TrainingPoint(Progress(10, 1, "validate"), before, kNow).has_value());
  EXPECT_TRUE(TrainingPoint(Progress(20, 2, "validate"), before, kNow).has_value()) << "the record itself was lost on its way";
  EXPECT_FALSE(TrainingPoint(Progress(0, 0, "load"), std::nullopt, kNow).has_value());
}

TEST(MetricPoint, OfATrainerThatNumbersNothingIsMadeInTraining) {
  const v1::Progress before = Progress(10, 0).trainer().progress();
  EXPECT_TRUE(TrainingPoint(Progress(20, 0), before, kNow).has_value());
  EXPECT_FALSE(TrainingPoint(Progress(20, 0, "validate"), before, kNow).has_value());
}

TEST(MetricPoint, OfAnEvaluateJobHasItsValidation) {
  v1::RankReport report;
  v1::JobResult& result = *report.mutable_trainer()->mutable_result();
  result.set_validation_loss(4.5);
  result.mutable_test()->add_at()->set_k(10);
  const auto point = EvaluationPoint(report, v1::Job(), kNow);
  ASSERT_TRUE(point.has_value());
  ASSERT_EQ(point->evaluations_size(), 2);
  EXPECT_EQ(point->evaluations(0).name(), "validation");
  EXPECT_EQ(point->evaluations(0).loss(), 4.5);
  EXPECT_EQ(point->evaluations(1).name(), "test");
  EXPECT_FALSE(EvaluationPoint(Progress(10, 1), v1::Job(), kNow).has_value());
}

}  // namespace
}  // namespace pixelrec::coordinator
