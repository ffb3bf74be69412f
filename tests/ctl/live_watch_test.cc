// `watch` on a terminal: the real program on a pseudo-terminal, from the first screen to how it leaves.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/synchronization/mutex.h"
#include "tests/ctl/pty_process.h"
#include "tests/ctl/served_ctl.h"

namespace pixelrec::ctl {
namespace {

constexpr char kEnter[] = "\x1b[?1049h";
constexpr char kLeave[] = "\x1b[?25h\x1b[?1049l";

class LiveWatch : public ServedCtl {
 protected:
  void SetUp() override {
    ServedCtl::SetUp();
    service_.get = [this](const v1::GetJobRequest&) -> absl::StatusOr<v1::GetJobResponse> {
      const absl::MutexLock lock(&mutex_);
      v1::GetJobResponse response;
      *response.mutable_job() = ended_ ? FinishedJob() : SampleJob();
      return response;
    };
    service_.metrics = [](const v1::StreamMetricsRequest&, grpc::ServerContext&, FakeJobService::MetricsWriter& writer) {
      v1::StreamMetricsResponse response;
      for (int step = 1; step <= 100; ++step) {
        v1::MetricPoint& point = *response.add_points();
        point.set_sequence(static_cast<uint64_t>(step));
        point.set_step(step);
        point.mutable_training()->set_loss(7.0 - step * 0.02);
      }
      writer.Write(response);
      return absl::OkStatus();
    };
    service_.watch = [this](const v1::WatchJobRequest&, grpc::ServerContext& context, FakeJobService::WatchWriter& writer) {
      v1::WatchJobResponse update;
      *update.mutable_job() = SampleJob();
      *update.mutable_event() = FromText<v1::JobEvent>(
          "sequence: 1 time { seconds: 1764000006 } state_change { to: JOB_STATE_RUNNING reason: 'all train' }");
      writer.Write(update);
      *update.mutable_event() = FromText<v1::JobEvent>("time { seconds: 1764000010 }");
      *update.mutable_event()->mutable_progress() = SampleJob().progress();
      writer.Write(update);
      // The call is asked outside of the lock: it has locks of its own.
      while (!context.IsCancelled()) {
        const absl::MutexLock lock(&mutex_);
        if (mutex_.AwaitWithTimeout(absl::Condition(&ended_), absl::Milliseconds(20))) break;
      }
      return absl::OkStatus();
    };
  }
  void EndJob() {
    const absl::MutexLock lock(&mutex_);
    ended_ = true;
  }
  std::unique_ptr<PtyProcess> Watch(const std::vector<std::string>& more = {"LANG=C.UTF-8"}, int columns = 80, int rows = 24) {
    std::vector<std::string> environment = Environment();
    environment.insert(environment.end(), more.begin(), more.end());
    if (more.empty() || !absl::StartsWith(more.back(), "TERM=")) environment.push_back("TERM=xterm");
    return std::make_unique<PtyProcess>(PIXELREC_BIN_DIR "/pixelrecctl", std::vector<std::string>{"watch", "quickstart"},
                                        environment, columns, rows);
  }

  absl::Mutex mutex_;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

TEST_F(LiveWatch, ShowsTheJobAndQLeavesTheTerminalAsItWas) {
  const auto watch = Watch();
  ASSERT_TRUE(watch->Await(kEnter));
  ASSERT_TRUE(watch->Await("quickstart-1a2b  RUNNING"));
  ASSERT_TRUE(watch->Await("step 120/468"));
  ASSERT_TRUE(watch->Await("▁"));  // the curve
  ASSERT_TRUE(watch->Await("q detaches"));
  EXPECT_FALSE(watch->IsAsBefore()) << "keys are not shown meanwhile";
  watch->Type("x");  // means nothing
  watch->Type("q");
  ASSERT_TRUE(watch->Await(kLeave));
  EXPECT_EQ(watch->Finish(), 8);
  EXPECT_TRUE(watch->IsAsBefore());
  EXPECT_TRUE(absl::StrContains(watch->output(), "detached from quickstart-1a2b; it goes on"));
  EXPECT_TRUE(absl::StrContains(watch->output(), "\x1b[1;32m"));
}

TEST_F(LiveWatch, CtrlCDetaches) {
  const auto watch = Watch();
  ASSERT_TRUE(watch->Await("step 120/468"));
  watch->Type("\x03");
  ASSERT_TRUE(watch->Await(kLeave));
  EXPECT_EQ(watch->Finish(), 8);
  EXPECT_TRUE(watch->IsAsBefore());
}

TEST_F(LiveWatch, SignalsLeaveTheTerminalAsItWas) {
  for (const int signal : {SIGTERM, SIGHUP, SIGQUIT, SIGABRT}) {
    const auto watch = Watch();
    ASSERT_TRUE(watch->Await("step 120/468"));
    watch->Signal(signal);
    ASSERT_TRUE(watch->Await(kLeave)) << signal;
    EXPECT_EQ(watch->Finish(), signal == SIGABRT ? 128 + SIGABRT : 8) << signal;
    EXPECT_TRUE(watch->IsAsBefore()) << signal;
  }
}

TEST_F(LiveWatch, DrawsAnewInANewSize) {
  const auto watch = Watch();
  ASSERT_TRUE(watch->Await("step 120/468"));
  watch->Resize(40, 12);
  ASSERT_TRUE(watch->Await("\x1b[H"));
  ASSERT_TRUE(watch->Await("epochs    [==>     ]  25%  epoch 1/2"));
  watch->Type("q");
  EXPECT_EQ(watch->Finish(), 8);
}

TEST_F(LiveWatch, CtrlZGivesTheTerminalBackUntilItGoesOn) {
  const auto watch = Watch();
  ASSERT_TRUE(watch->Await("step 120/468"));
  watch->Signal(SIGTSTP);
  ASSERT_TRUE(watch->Await(kLeave));
  watch->AwaitStopped();
  EXPECT_TRUE(watch->IsAsBefore());
  watch->Signal(SIGCONT);
  ASSERT_TRUE(watch->Await(kEnter));
  ASSERT_TRUE(watch->Await("step 120/468"));
  watch->Type("q");
  EXPECT_EQ(watch->Finish(), 8);
  EXPECT_TRUE(watch->IsAsBefore());
}

TEST_F(LiveWatch, EndsWithTheJobAndPrintsTheResult) {
  const auto watch = Watch();
  ASSERT_TRUE(watch->Await("step 120/468"));
  EndJob();
  ASSERT_TRUE(watch->Await(kLeave));
  ASSERT_TRUE(watch->Await("Job quickstart-1a2b succeeded."));
  EXPECT_EQ(watch->Finish(), 0);
  EXPECT_TRUE(watch->IsAsBefore());
}

TEST_F(LiveWatch, WithoutColourAndUtf8) {
  const auto watch = Watch({"NO_COLOR=1", "LANG=C"});
  ASSERT_TRUE(watch->Await("step 120/468"));
  ASSERT_TRUE(watch->Await("q detaches"));
  watch->Type("q");
  EXPECT_EQ(watch->Finish(), 8);
  EXPECT_FALSE(absl::StrContains(watch->output(), "\x1b[1;32m"));
  EXPECT_FALSE(absl::StrContains(watch->output(), "\x1b[2m"));
  for (const char c : watch->output()) ASSERT_GE(c, 0) << "no byte beyond ASCII";
}

TEST_F(LiveWatch, OnATerminalThatCannotBeDrawnOnThereIsNoScreen) {
  const auto watch = Watch({"TERM=dumb"});
  ASSERT_TRUE(watch->Await("RUNNING: all train"));
  watch->Type("\x03");
  EXPECT_EQ(watch->Finish(), 8);
  EXPECT_FALSE(absl::StrContains(watch->output(), kEnter));
}

}  // namespace
}  // namespace pixelrec::ctl
