// A job that grows and shrinks, with real daemons and trainers.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/small_job.h"

namespace pixelrec::integration {
namespace {

namespace fs = std::filesystem;

// Steps of one rank take a few milliseconds: enough of them that ranks come and go while they last.
constexpr int kManyUsers = 400, kEpochs = 4;

struct LoggedStep {
  double loss = 0;
  int64_t generation = 0;
};

// The training steps of logs/metrics.jsonl; each must be there once.
std::map<int64_t, LoggedStep> LoggedSteps(const fs::path& output) {
  std::ifstream in(output / "logs" / "metrics.jsonl");
  std::map<int64_t, LoggedStep> steps;
  for (std::string line; std::getline(in, line);) {
    const auto record = nlohmann::json::parse(line);
    if (record["section"] != "train") continue;
    const int64_t step = record["step"];
    EXPECT_TRUE(steps.emplace(step, LoggedStep{record["loss"], record["generation"]}).second) << "step " << step << " twice";
  }
  return steps;
}

v1::JobSpec ElasticJob(const Cluster& cluster, const std::string& name, int most, int epochs = kEpochs) {
  v1::JobSpec spec = SmallJob(cluster, name, epochs);
  spec.mutable_train()->set_learning_rate(1e-4);
  spec.mutable_distributed()->set_workers(1);
  spec.mutable_distributed()->set_max_workers(most);
  spec.mutable_checkpoint()->set_every_steps(20);
  return spec;
}

class ElasticTest : public testing::Test {
 protected:
  ElasticTest() { WriteSmallData(cluster_.dir(), kManyUsers); }
  v1::Job AwaitRanks(const std::string& id, int ranks) {
    return cluster_.Await(
        id, [&](const v1::Job& job) { return job.state() == v1::JOB_STATE_RUNNING && job.ranks_size() == ranks; },
        absl::StrCat(ranks, " ranks"));
  }
  struct Audit {
    int exit_code = -1;
    nlohmann::json report;
  };
  Audit RunAudit(const std::string& arguments) {
    const fs::path out = cluster_.dir() / "audit.json";
    const int status = std::system(absl::StrCat(PIXELREC_BIN_DIR "/pixelrecctl audit --server ", cluster_.address(), " -o json ",
                                                arguments, " > ", out.string())
                                       .c_str());
    std::ifstream in(out);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, nlohmann::json::parse(in, nullptr, false)};
  }
  Cluster cluster_{{.trainer = fs::path(PIXELREC_BIN_DIR) / "pixelrec-trainer",
                    .workers = 1,
                    .later_workers = 2,
                    .patience = std::chrono::seconds(240),
                    .coordinator_yaml = "lease: 2s\nbeat_interval: 200ms\nelastic_grow_after: 1s\n"}};
};

// The sample stream and the loss don't depend on who computes them.
TEST_F(ElasticTest, GrowsToThreeRanksShrinksToTwoAndTrainsTheSame_W1_W10) {
  const std::string id = cluster_.Submit(ElasticJob(cluster_, "elastic", 3)).job_id();
  AwaitRanks(id, 1);
  cluster_.StartWorker(1);
  cluster_.StartWorker(2);
  const v1::Job grown = AwaitRanks(id, 3);
  EXPECT_EQ(grown.infrastructure_restarts(), 0) << "growing is no failure";
  cluster_.Await(
      id, [&](const v1::Job& job) { return job.checkpoint().generation() == grown.generation(); }, "a checkpoint of three ranks");
  cluster_.Kill(2);
  const v1::Job shrunk = AwaitRanks(id, 2);
  EXPECT_EQ(shrunk.infrastructure_restarts(), 1);
  const v1::Job job = cluster_.AwaitState(id, v1::JOB_STATE_SUCCEEDED);
  const std::vector<v1::JobEvent> events = cluster_.Events(id);
  EXPECT_EQ(States(events), "PENDING PREPARING STARTING RUNNING STARTING RUNNING RECOVERING STARTING RUNNING SUCCEEDED")
      << Story(events);

  // No step is lost by growing: the larger generation starts where the smaller one stopped.
  int64_t stopped_at = 0;
  std::string started;
  for (const v1::JobEvent& event : events) {
    if (event.has_artifact() && event.generation() + 1 == grown.generation()) stopped_at = event.artifact().step();
    if (event.generation() == grown.generation() && event.state_change().to() == v1::JOB_STATE_STARTING)
      started = event.state_change().reason();
  }
  EXPECT_EQ(started,
            absl::StrCat("generation ", grown.generation(), ": 3 ranks start from step ", stopped_at, " (grown from 1)"));

  const Audit audit = RunAudit(id);
  EXPECT_EQ(audit.exit_code, 0);
  ASSERT_TRUE(audit.report.is_object());
  EXPECT_EQ(audit.report["epochs"].size(), size_t{kEpochs}) << audit.report;
  std::vector<int> sizes;
  for (const auto& generation : audit.report["generations"]) sizes.push_back(generation["ranks"]);
  EXPECT_EQ(sizes, (std::vector<int>{1, 3, 2})) << audit.report;

  const v1::Job alone = cluster_.AwaitState(cluster_.Submit(ElasticJob(cluster_, "alone", 1)).job_id(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(job.result().samples(), alone.result().samples());
  EXPECT_EQ(job.result().sample_digest(), alone.result().sample_digest());
  const auto steps = LoggedSteps(cluster_.dir() / "results" / "elastic"),
             want = LoggedSteps(cluster_.dir() / "results" / "alone");
  ASSERT_EQ(steps.size(), want.size());
  std::map<int64_t, int> by_generation;
  double most = 0;
  for (const auto& [step, logged] : want) {
    ASSERT_TRUE(steps.contains(step)) << step;
    most = std::max(most, std::abs(steps.at(step).loss - logged.loss));
    ++by_generation[steps.at(step).generation];
  }
  EXPECT_LT(most, 1e-4);
  EXPECT_EQ(by_generation.size(), 3U) << "each size has its steps";
  std::printf("%zu steps on 1, 3 and 2 ranks: losses differ from one rank's by at most %.1e\n", steps.size(), most);
}

// Of a job that still runs, too; and with other data than it trained on it doesn't pass.
TEST_F(ElasticTest, AuditFindsOtherData) {
  const std::string id = cluster_.Submit(ElasticJob(cluster_, "audited", 1, 2)).job_id();
  cluster_.Await(
      id, [](const v1::Job& job) { return job.has_checkpoint(); }, "a checkpoint");
  Audit audit = RunAudit(id);
  EXPECT_EQ(audit.exit_code, 0);
  EXPECT_EQ(audit.report["problems"].size(), 0U) << audit.report;
  cluster_.AwaitState(id, v1::JOB_STATE_SUCCEEDED);

  const std::string prepare = absl::StrCat(id, " --prepare-in ", (cluster_.dir() / "again").string(), " 2> /dev/null");
  EXPECT_EQ(RunAudit(prepare).exit_code, 0);
  WriteSmallData(cluster_.dir(), kManyUsers - 1);
  audit = RunAudit(prepare);
  EXPECT_EQ(audit.exit_code, 1);
  EXPECT_GT(audit.report["problems"].size(), 1U) << audit.report;
}

}  // namespace
}  // namespace pixelrec::integration
