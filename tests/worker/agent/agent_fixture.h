// The whole daemon in this process: a real gRPC session with a fake coordinator, real trainer processes that follow a script.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/text_serializer.h>

#include <filesystem>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "google/protobuf/util/time_util.h"
#include "tests/common/temporary_folder.h"
#include "tests/worker/agent/fake_coordinator.h"
#include "worker/agent/agent.h"

namespace pixelrec::agent {

inline bool IsExit(const v1::RankReport& report) { return report.has_exited(); }
inline bool IsHello(const v1::RankReport& report) { return report.trainer().has_hello(); }
inline bool IsStarted(const v1::RankReport& report) { return report.trainer().has_training_started(); }
inline bool IsFailure(const v1::RankReport& report) { return report.trainer().has_failure(); }

// Every report but progress, in words, without repeats of a sequence.
inline std::string Story(const std::vector<v1::RankReport>& reports) {
  std::map<RankKey, uint64_t> seen;
  std::string story;
  for (const v1::RankReport& report : reports) {
    uint64_t& last = seen[KeyOf(report)];
    if (report.sequence() <= last) continue;
    last = report.sequence();
    if (report.trainer().has_progress()) continue;
    const v1::TrainerReport& trainer = report.trainer();
    story += report.has_exited()               ? absl::StrCat("exit ", report.exited().exit_code())
             : report.has_artifact_published() ? "published"
             : report.has_publish_failed()     ? "publish failed"
             : trainer.has_notice()            ? trainer.notice().text()
             : trainer.has_hello()             ? "hello"
             : trainer.has_training_started()  ? "started"
             : trainer.has_epoch_result()      ? absl::StrCat("epoch ", trainer.epoch_result().epoch())
             : trainer.has_artifact_staged()   ? "staged"
             : trainer.has_result()            ? "result"
             : trainer.has_failure()           ? "failure"
                                               : "other";
    story += "; ";
  }
  return story;
}

class AgentTest : public testing::Test {
 protected:
  void TearDown() override { Leave(); }

  Agent::Options Options(const FakeCoordinator& coordinator) {
    Agent::Options options;
    options.config.coordinator = coordinator.address();
    options.config.worker_id = "w1";
    options.config.work_dir = dir_ / "work";
    options.config.dataset_cache_dir = dir_ / "cache";
    options.config.trainer = FAKE_TRAINER;
    options.config.threads = 1;
    options.version = "test";
    options.incarnation = 42;
    options.registry = &registry_;
    options.stop_grace = std::chrono::milliseconds(5'000);
    options.on_ready = [this] { ready_.Notify(); };
    options.log = [this](absl::string_view text) {
      absl::MutexLock lock(&mutex_);
      absl::StrAppend(&log_, text, "\n");
    };
    return options;
  }
  void Start(Agent::Options options) {
    auto agent = Agent::Create(std::move(options));
    ASSERT_TRUE(agent.ok()) << agent.status();
    agent_ = *std::move(agent);
    loop_ = std::thread([this] { result_ = agent_->Run(); });
  }
  void Start(const FakeCoordinator& coordinator) { Start(Options(coordinator)); }
  // Twice: a trainer that still runs is killed.
  void Leave() {
    if (!loop_.joinable()) return;
    agent_->RequestStop();
    agent_->RequestStop();
    loop_.join();
  }

  v1::SessionResponse StartRank(const std::string& script, uint64_t generation = 1, int rank = 0,
                                const std::string& job = "job-1") {
    v1::SessionResponse response;
    v1::StartRank& order = *response.mutable_start_rank();
    order.set_job_id(job);
    order.set_generation(generation);
    order.mutable_plan()->set_role(v1::TRAINER_ROLE_TRAIN);
    order.mutable_plan()->set_rank(rank);
    (*order.mutable_plan()->mutable_spec()->mutable_labels())["script"] = script;
    order.mutable_plan()->mutable_spec()->set_output_dir((dir_ / "out").string());
    return response;
  }
  v1::SessionResponse StopRank(uint64_t generation, bool now, int grace_ms = 10'000) {
    v1::SessionResponse response;
    SetKey(RankKey{"job-1", generation, 0}, *response.mutable_stop_rank());
    response.mutable_stop_rank()->set_now(now);
    *response.mutable_stop_rank()->mutable_grace() = google::protobuf::util::TimeUtil::MillisecondsToDuration(grace_ms);
    return response;
  }
  v1::SessionResponse Commit(const v1::RankReport& staged, uint64_t generation = 1) {
    v1::SessionResponse response;
    SetKey(RankKey{"job-1", generation, 0}, *response.mutable_commit_artifact());
    *response.mutable_commit_artifact()->mutable_artifact() = staged.trainer().artifact_staged();
    return response;
  }
  std::string Page() { return prometheus::TextSerializer().Serialize(registry_.Collect()); }
  std::string Log() {
    absl::MutexLock lock(&mutex_);
    return log_;
  }

  const TemporaryFolder folder_;
  const std::filesystem::path dir_ = folder_.path();
  prometheus::Registry registry_;
  absl::Notification ready_;
  std::unique_ptr<Agent> agent_;
  std::thread loop_;
  absl::Status result_;
  absl::Mutex mutex_;
  std::string log_;
};

}  // namespace pixelrec::agent
