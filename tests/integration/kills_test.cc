// Ranks of a sharded job killed with SIGKILL again and again, at random steps: the weights must not show it.
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/integration/cluster.h"
#include "tests/integration/small_job.h"

namespace pixelrec::integration {
namespace {

namespace fs = std::filesystem;

constexpr int kRanks = 3, kEpochs = 2;

// 50 kills take minutes: `PIXELREC_LONG_TESTS=1`.
bool Long() { return std::getenv("PIXELREC_LONG_TESTS") != nullptr; }
int Kills() { return Long() ? 50 : 3; }

// Uneven shares of the batch, the item LLM's weights sharded, a recovery checkpoint each 5 steps.
v1::JobSpec LongerJob(const Cluster& cluster, const std::string& name) {
  v1::JobSpec spec = SmallJob(cluster, name, kEpochs);
  spec.mutable_distributed()->set_workers(kRanks);
  spec.mutable_distributed()->set_zero_stage(3);
  spec.mutable_distributed()->set_user_zero_stage(2);
  spec.mutable_checkpoint()->set_every_steps(5);
  spec.mutable_scheduling()->mutable_max_restarts()->set_infrastructure(-1);
  return spec;
}

std::string FileContent(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void ExpectSameShards(const fs::path& got, const fs::path& want) {
  int64_t bytes = 0;
  for (const char* kind : {"model", "optimizer"}) {
    for (int shard = 1; shard <= kRanks; ++shard) {
      const std::string file = absl::StrCat(kind, "-0000", shard, "-of-0000", kRanks, ".safetensors");
      const std::string content = FileContent(want / file);
      bytes += static_cast<int64_t>(content.size());
      EXPECT_TRUE(FileContent(got / file) == content) << file;
    }
  }
  EXPECT_GT(bytes, 3'000'000);  // 260K parameters twice, with two moments each
}

TEST(KillsTest, KilledRanksChangeNoBitOfTheWeights) {
  Cluster cluster({.trainer = fs::path(PIXELREC_BIN_DIR) / "pixelrec-trainer",
                   .workers = kRanks,
                   .patience = std::chrono::minutes(Long() ? 10 : 2)});
  WriteSmallData(cluster.dir(), Long() ? 1600 : 200);
  const std::string undisturbed = cluster.Submit(LongerJob(cluster, "undisturbed")).job_id();
  const v1::Job want = cluster.AwaitState(undisturbed, v1::JOB_STATE_SUCCEEDED);

  const std::string id = cluster.Submit(LongerJob(cluster, "killed")).job_id();
  std::mt19937 random(2024);
  int64_t step = 0;
  for (int kills = 0; kills < Kills(); ++kills) {
    const int64_t at = step + std::uniform_int_distribution<int64_t>(1, 10)(random);
    const v1::Job job = cluster.Await(
        id, [&](const v1::Job& j) { return j.state() == v1::JOB_STATE_RUNNING && j.progress().step() >= at; },
        absl::StrCat("step ", at, " before kill ", kills + 1));
    const int rank = std::uniform_int_distribution<int>(0, kRanks - 1)(random);
    ASSERT_EQ(job.ranks_size(), kRanks);
    kill(static_cast<pid_t>(job.ranks(rank).pid()), SIGKILL);
    cluster.Await(
        id, [&](const v1::Job& j) { return j.generation() > job.generation(); },
        absl::StrCat("the generation after kill ", kills + 1));
    step = job.progress().step();
  }
  const v1::Job job = cluster.AwaitState(id, v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(job.infrastructure_restarts(), Kills()) << Story(cluster.Events(id));
  EXPECT_EQ(job.result().sample_digest(), want.result().sample_digest());
  EXPECT_EQ(job.result().samples(), want.result().samples());
  for (int epoch = 1; epoch <= kEpochs; ++epoch) {
    const std::string folder = absl::StrCat("checkpoint-epoch-", epoch);
    ExpectSameShards(cluster.dir() / "results/killed" / folder, cluster.dir() / "results/undisturbed" / folder);
  }
  std::printf("%d kills up to step %lld of %lld, %d generations: every shard of weights and moments has the same bytes\n",
              Kills(), static_cast<long long>(step), static_cast<long long>(job.progress().step()),
              static_cast<int>(job.generation()));
}

}  // namespace
}  // namespace pixelrec::integration
