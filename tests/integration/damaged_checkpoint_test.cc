// Real daemons and real trainers whose newest checkpoint is damaged while no rank runs: the one before is used, and said.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/cluster.h"
#include "tests/integration/small_job.h"

namespace pixelrec::integration {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::string ContentOf(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class DamagedCheckpointTest : public testing::Test {
 protected:
  DamagedCheckpointTest() { WriteSmallData(cluster_.dir()); }

  v1::JobSpec Job(const std::string& name) const {
    v1::JobSpec spec = SmallJob(cluster_, name, 4);
    spec.mutable_distributed()->set_zero_stage(3);
    spec.mutable_checkpoint()->set_every_steps(2);
    return spec;
  }

  // Runs until two checkpoints are there, then takes all its workers away -> the job as it waits for others.
  v1::Job Interrupt(const std::string& id) {
    cluster_.Await(
        id, [](const v1::Job& job) { return job.checkpoint().step() >= 4; }, "the second checkpoint");
    for (int worker = 0; worker < 2; ++worker) {
      cluster_.Kill(worker);
      cluster_.AwaitWorkerExit(worker);
    }
    return cluster_.AwaitState(id, v1::JOB_STATE_RECOVERING);
  }
  void Continue() {
    for (int worker = 0; worker < 2; ++worker) cluster_.StartWorker(worker);
  }

  // One bit of one rank's weights, wherever the checkpoint lies: its rename may not have been done yet.
  static void Damage(const v1::Artifact& checkpoint) {
    const fs::path folder = fs::exists(checkpoint.path()) ? checkpoint.path() : checkpoint.staging_path();
    const fs::path shard = folder / "model-00002-of-00002.safetensors";
    std::string content = ContentOf(shard);
    ASSERT_GT(content.size(), 100000U) << shard;
    content[content.size() / 2] = static_cast<char>(content[content.size() / 2] ^ 1);
    std::ofstream(shard, std::ios::binary) << content;
  }

  Cluster cluster_{{.trainer = fs::path(PIXELREC_BIN_DIR) / "pixelrec-trainer"}};
};

TEST_F(DamagedCheckpointTest, TheOneBeforeIsUsedAndNoBitOfTheResultDiffers) {
  cluster_.AwaitState(cluster_.Submit(Job("undisturbed")).job_id(), v1::JOB_STATE_SUCCEEDED);
  const std::string id = cluster_.Submit(Job("damaged")).job_id();
  const v1::Job before = Interrupt(id);
  Damage(before.checkpoint());
  Continue();
  const v1::Job job = cluster_.AwaitState(id, v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(job.user_restarts(), 0);
  EXPECT_EQ(job.infrastructure_restarts(), before.infrastructure_restarts()) << "the fallback is nobody's restart";

  std::vector<std::string> failures, reasons;
  for (const v1::JobEvent& event : cluster_.Events(id)) {
    if (event.failure().cause() == v1::FAILURE_CAUSE_CHECKPOINT_DAMAGED) {
      EXPECT_EQ(event.failure().checkpoint(), before.checkpoint().path());
      failures.push_back(event.failure().message());
    }
    reasons.push_back(event.state_change().reason());
  }
  ASSERT_EQ(failures.size(), 1U);
  EXPECT_THAT(failures[0], HasSubstr("model-00002-of-00002.safetensors: damaged: its xxh3 is"));
  EXPECT_THAT(reasons, testing::Contains(HasSubstr("; goes on from the one before, ")));

  const fs::path results = cluster_.dir() / "results";
  for (const char* kind : {"model", "optimizer"}) {
    for (int shard = 1; shard <= 2; ++shard) {
      const std::string file = absl::StrCat("checkpoint-epoch-4/", kind, "-0000", shard, "-of-00002.safetensors");
      const std::string want = ContentOf(results / "undisturbed" / file);
      EXPECT_GT(want.size(), 100000U) << file;
      EXPECT_TRUE(ContentOf(results / "damaged" / file) == want) << file;
    }
  }
}

TEST_F(DamagedCheckpointTest, WithNoneLeftTheJobFailsRatherThanBeginAgain) {
  const std::string id = cluster_.Submit(Job("hopeless")).job_id();
  const v1::Job before = Interrupt(id);
  for (const v1::JobEvent& event : cluster_.Events(id)) {
    const v1::Artifact& artifact = event.artifact();
    const bool lies = fs::exists(artifact.path()) || fs::exists(artifact.staging_path());
    if (artifact.kind() != v1::ARTIFACT_KIND_UNSPECIFIED && artifact.kind() != v1::ARTIFACT_KIND_BEST_MODEL && lies)
      Damage(artifact);
  }
  Continue();
  const v1::Job job = cluster_.AwaitState(id, v1::JOB_STATE_FAILED);
  EXPECT_EQ(job.failure().cause(), v1::FAILURE_CAUSE_CHECKPOINT_DAMAGED);
  EXPECT_THAT(job.reason(), HasSubstr("no other checkpoint is left: submit the job again with output_policy: replace"));
  EXPECT_FALSE(job.has_checkpoint());
}

}  // namespace
}  // namespace pixelrec::integration
