#include "common/metrics/exposer.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/metrics/family.h"
#include "tests/common/metrics/scrape.h"
#include "tests/common/temporary_folder.h"

namespace pixelrec::metrics {
namespace {

TEST(ExposerTest, ServesOnAFreePortAndSaysWhich) {
  auto exposer = Exposer::Start("127.0.0.1:0");
  ASSERT_TRUE(exposer.ok()) << exposer.status();
  EXPECT_NE((*exposer)->address(), "127.0.0.1:0");
  Family jobs((*exposer)->registry(), kJobs);
  jobs.With({"RUNNING"}).Set(2);
  const std::string page = Scrape((*exposer)->address());
  EXPECT_NE(page.find("pixelrec_jobs{state=\"RUNNING\"} 2"), std::string::npos) << page;
  // A known label set is there before its first event.
  EXPECT_NE(page.find("pixelrec_jobs{state=\"FAILED\"} 0"), std::string::npos) << page;
}

TEST(ExposerTest, PortInUseIsUnavailableAndNamed) {
  auto first = Exposer::Start("127.0.0.1:0");
  ASSERT_TRUE(first.ok());
  auto second = Exposer::Start((*first)->address());
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(second.status().message().find((*first)->address()), absl::string_view::npos);
}

TEST(ExposerTest, RefusesWhatIsNotAnAddress) {
  for (const char* address :
       {"", "9464", ":9464", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:9464s", "127.0.0.1:1,127.0.0.1:2"}) {
    EXPECT_EQ(Exposer::Start(address).status().code(), absl::StatusCode::kInvalidArgument) << address;
  }
}

TEST(ExposerTest, RemovedSeriesLeaveThePage) {
  auto exposer = Exposer::Start("127.0.0.1:0");
  ASSERT_TRUE(exposer.ok());
  Family info((*exposer)->registry(), kRunInfo);
  info.With({"job-1", "3", "0"}).Set(1);
  EXPECT_NE(Scrape((*exposer)->address()).find("job-1"), std::string::npos);
  info.Remove({"job-1", "3", "0"});
  info.Remove({"never", "0", "0"});
  EXPECT_EQ(Scrape((*exposer)->address()).find("job-1"), std::string::npos);
}

// Debian's promtool reads the page of every metric there is.
TEST(ExposerTest, PromtoolHasNothingToSay) {
  ASSERT_EQ(std::system("command -v promtool >/dev/null"), 0)
      << "promtool is not installed: scripts/install_packages.sh build test";
  auto exposer = Exposer::Start("127.0.0.1:0");
  ASSERT_TRUE(exposer.ok());
  prometheus::Registry& registry = (*exposer)->registry();
  SetBuildInfo(registry, "pixelrec-test", "0");
  Family(registry, kJobs);
  Family(registry, kJobInfo).With({"j", "n", "/o"});
  Family(registry, kJobQueueWaitSeconds).With({}).Observe(3);
  Family(registry, kJobStateTransitionsTotal).With({"RUNNING", "none"});
  Family(registry, kJobRestartsTotal).With({"j", "WORKER_LOST"});
  Family(registry, kJobPreemptionsTotal);
  Family(registry, kJobRecoverySeconds).With({});
  Family(registry, kJobProgressRatio).With({"j"});
  Family(registry, kJobEtaSeconds).With({"j"});
  Family(registry, kWorkerLastHeartbeatTimestampSeconds).With({"w"});
  Family(registry, kWorkers);
  Family(registry, kGrpcServerHandledTotal).With({"JobService/GetJob", "OK"});
  Family(registry, kGrpcServerHandlingSeconds).With({"JobService/GetJob"});
  Family(registry, kStreamSubscribers);
  Family(registry, kStreamDroppedEventsTotal);
  Family(registry, kJournalCommitSeconds);
  Family(registry, kJournalSizeBytes);
  Family(registry, kRunInfo).With({"j", "1", "0"});
  for (const auto* gauge : {&kStep, &kEpoch, &kLastStepTimestampSeconds, &kLoss, &kLearningRate, &kGradNorm,
                            &kCheckpointLastSuccessTimestampSeconds, &kCheckpointBytes}) {
    Family(registry, *gauge).With({}).Set(1);
  }
  Family(registry, kStepDurationSeconds);
  Family(registry, kSamplesTotal);
  Family(registry, kTokensTotal);
  Family(registry, kNonfiniteStepsTotal);
  Family(registry, kCheckpointDurationSeconds);
  Family(registry, kCheckpointFailuresTotal);
  Family(registry, kDeviceMemoryBytes).With({"host_resident"});
  Family(registry, kEvalMetric).With({"valid_recall", "10"});

  const std::string page = Scrape((*exposer)->address());
  for (const Row& row : Catalogue())
    EXPECT_NE(page.find(absl::StrCat("# HELP ", absl::string_view(row.name.data(), row.name.size()), " ")), std::string::npos)
        << row.name;
  const TemporaryFolder folder;
  const std::string file = folder.Write("metrics_page.txt", page);
  EXPECT_EQ(std::system(("promtool check metrics < " + file).c_str()), 0);
}

}  // namespace
}  // namespace pixelrec::metrics
