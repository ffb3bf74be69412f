// What a user sees of a job, with real daemons, trainers and pixelrecctl: metrics, checkpoints, and where the time went.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/integration/cluster.h"
#include "tests/integration/small_job.h"

namespace pixelrec::integration {
namespace {

namespace fs = std::filesystem;

constexpr int kEpochs = 4;

class TelemetryTest : public testing::Test {
 protected:
  TelemetryTest() { WriteSmallData(cluster_.dir(), 200); }

  nlohmann::json Ctl(const std::string& arguments) {
    const fs::path out = cluster_.dir() / "answer.json";
    const int status = std::system(absl::StrCat(PIXELREC_BIN_DIR "/pixelrecctl --server ", cluster_.address(), " ", arguments,
                                                " -o json > ", out.string(), " 2>&1")
                                       .c_str());
    std::ifstream in(out);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << text;
    return nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  }

  Cluster cluster_{{.trainer = fs::path(PIXELREC_BIN_DIR) / "pixelrec-trainer"}};
};

// The coordinator is killed on the way, and a rank.
TEST_F(TelemetryTest, AJobsMetricsCheckpointsAndTimeAreToldWhole) {
  v1::JobSpec spec = SmallJob(cluster_, "told", kEpochs);
  spec.mutable_checkpoint()->set_every_steps(10);
  const std::string id = cluster_.Submit(spec).job_id();
  cluster_.Await(
      id, [](const v1::Job& job) { return job.has_checkpoint() && job.progress().step() > 12; }, "the first checkpoint");
  cluster_.KillCoordinator();
  cluster_.StartCoordinator();
  const v1::Job before = cluster_.Await(
      id, [](const v1::Job& job) { return job.epochs_size() > 0 && job.ranks_size() == 2 && job.ranks(1).pid() > 0; },
      "an epoch");
  if (before.state() == v1::JOB_STATE_RUNNING) kill(static_cast<pid_t>(before.ranks(1).pid()), SIGKILL);
  const v1::Job job = cluster_.AwaitState(id, v1::JOB_STATE_SUCCEEDED);

  const nlohmann::json series = Ctl(absl::StrCat("metrics ", id))["points"];
  std::map<std::string, int64_t> records, last_step;  // by generation
  uint64_t sequence = 0;
  int validations = 0, tests = 0;
  for (const auto& point : series) {
    const auto now = std::stoull(point["sequence"].get<std::string>());
    EXPECT_GT(now, sequence);
    sequence = now;
    const std::string generation = point["generation"];
    if (point.contains("training") && !point["training"].is_null()) {
      EXPECT_TRUE(std::isfinite(point["training"]["loss"].get<double>()));
      EXPECT_GT(std::stoll(point["training"]["resident_bytes"].get<std::string>()), 0);
      records[generation] += 1 + std::stoll(point["merged"].get<std::string>());
      last_step[generation] = std::stoll(point["step"].get<std::string>());
    }
    for (const auto& evaluation : point["evaluations"]) {
      validations += evaluation["name"] == "validation";
      tests += evaluation["name"] == "test";
    }
  }
  EXPECT_GE(validations, kEpochs);
  EXPECT_EQ(tests, 1);
  // Each step is a record of its own (logging_steps 1), in the series or counted by one that is.
  const int64_t total = job.epochs(kEpochs - 1).step();
  int64_t from = 0;
  for (const v1::JobEvent& event : cluster_.Events(id)) {
    if (event.state_change().to() == v1::JOB_STATE_RUNNING && event.generation() == job.generation())
      from = event.state_change().from_step();
  }
  EXPECT_EQ(last_step[absl::StrCat(job.generation())], total);
  EXPECT_EQ(records[absl::StrCat(job.generation())], total - from);

  const nlohmann::json saved = Ctl(absl::StrCat("checkpoints ", id))["checkpoints"];
  int epochs = 0, resume_points = 0;
  for (const auto& checkpoint : saved) {
    const fs::path path = checkpoint["artifact"]["path"].get<std::string>();
    if (checkpoint["state"] == "CHECKPOINT_STATE_KEPT") {
      EXPECT_TRUE(checkpoint["published"]);
      EXPECT_TRUE(fs::exists(path)) << path;
    }
    epochs += checkpoint["artifact"]["kind"] == "ARTIFACT_KIND_EPOCH_CHECKPOINT";
    resume_points += checkpoint["resume_point"].get<bool>() ? 1 : 0;
    EXPECT_EQ(checkpoint["resume_point"].get<bool>(), path.string() == job.checkpoint().path());
  }
  EXPECT_EQ(epochs, kEpochs);
  EXPECT_EQ(resume_points, 1);

  const nlohmann::json story = Ctl(absl::StrCat("explain ", id));
  double sum = 0;
  for (const auto& [bucket, seconds] : story["ledger_seconds"].items()) sum += seconds.get<double>();
  EXPECT_NEAR(sum, story["seconds"].get<double>(), 0.01 * sum);
  EXPECT_GT(story["ledger_seconds"]["checkpoint"], 0.0) << story.dump(1);
  EXPECT_GT(story["ledger_seconds"]["data"], 0.0) << story.dump(1);
  EXPECT_GT(story["ledger_seconds"]["compute"], 0.0) << story.dump(1);
}

}  // namespace
}  // namespace pixelrec::integration
