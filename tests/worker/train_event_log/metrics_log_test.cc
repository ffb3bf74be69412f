#include "worker/train/event_log/metrics_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/common/temporary_folder.h"
#include "tests/worker/train_event_log/read_all.h"

namespace pixelrec::train {
namespace {

class MetricsLogTest : public ::testing::Test {
 protected:
  std::unique_ptr<MetricsLog> Open(uint64_t generation, int64_t first_step) {
    auto log = MetricsLog::Open({path(), generation, first_step, [] { return 1.5; }});
    EXPECT_TRUE(log.ok()) << log.status();
    return *std::move(log);
  }
  static MetricsRecord Loss(int64_t step, double loss) { return {"train", 1, step, {{"loss", loss}}}; }
  std::filesystem::path path() const { return folder_.path() / "logs" / "metrics.jsonl"; }

 private:
  TemporaryFolder folder_;
};

TEST_F(MetricsLogTest, WritesOneObjectALineInTheOrderGiven) {
  auto log = Open(2, 0);
  ASSERT_TRUE(
      log->Append(
             {"validation", 1, 222, {{"loss", 4.5}, {"best", true}, {"users", int64_t{7}}, {"note", std::string("\"\n\xff")}}})
          .ok());
  ASSERT_TRUE(log->Append(Loss(223, std::nan(""))).ok());
  EXPECT_EQ(
      ReadAll(path()),
      "{\"time\":1.5,\"generation\":2,\"section\":\"validation\",\"epoch\":1,\"step\":222,\"loss\":4.5,\"best\":true,\"users\":7,"
      "\"note\":\"\\\"\\n\xEF\xBF\xBD\"}\n"
      "{\"time\":1.5,\"generation\":2,\"section\":\"train\",\"epoch\":1,\"step\":223,\"loss\":null}\n");
}

TEST_F(MetricsLogTest, ARestartDropsTheStepsThatAreTakenAgain) {
  auto first = Open(1, 0);
  for (int64_t step = 10; step <= 50; step += 10) ASSERT_TRUE(first->Append(Loss(step, 1.0)).ok());
  first.reset();
  const std::string before = ReadAll(path());
  auto second = Open(2, 30);
  EXPECT_EQ(ReadAll(path()), before.substr(0, before.size() / 5 * 3));
  ASSERT_TRUE(second->Append(Loss(40, 2.0)).ok());
  EXPECT_THAT(ReadAll(path()), ::testing::EndsWith("\"step\":40,\"loss\":2.0}\n"));
}

TEST_F(MetricsLogTest, ATornLastLineIsDroppedAndForeignLinesStay) {
  auto first = Open(1, 0);
  ASSERT_TRUE(first->Append(Loss(10, 1.0)).ok());
  first.reset();
  const std::string whole = ReadAll(path()) + "a line of someone else\n";
  std::ofstream(path(), std::ios::binary) << whole << "{\"time\":1.5,\"gen";
  Open(2, 10);
  EXPECT_EQ(ReadAll(path()), whole);
}

}  // namespace
}  // namespace pixelrec::train
