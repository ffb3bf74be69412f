// Real daemons and the real trainer, two ranks over Gloo, on a data set of a few dozen users.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/cluster.h"
#include "tests/integration/small_job.h"

namespace pixelrec::integration {
namespace {

namespace fs = std::filesystem;

// Each epoch once, in order, whatever died on the way.
void ExpectEpochs(const v1::Job& job, int epochs) {
  ASSERT_EQ(job.epochs_size(), epochs);
  for (int i = 0; i < epochs; ++i) EXPECT_EQ(job.epochs(i).epoch(), i + 1);
  EXPECT_LT(job.epochs(epochs - 1).train_loss(), job.epochs(0).train_loss()) << job.DebugString();
}

class RealTrainerTest : public testing::Test {
 protected:
  RealTrainerTest() { WriteSmallData(cluster_.dir()); }
  v1::Job AwaitCheckpoint(const std::string& id) {
    return cluster_.Await(
        id, [](const v1::Job& job) { return job.state() == v1::JOB_STATE_RUNNING && job.has_checkpoint(); },
        "the first checkpoint");
  }
  Cluster cluster_{{.trainer = fs::path(PIXELREC_BIN_DIR) / "pixelrec-trainer"}};
};

TEST_F(RealTrainerTest, TwoRanksTrainEvaluateAndPublish) {
  const std::string id = cluster_.Submit(SmallJob(cluster_, "plain", 2)).job_id();
  const v1::Job job = cluster_.AwaitState(id, v1::JOB_STATE_SUCCEEDED);
  ExpectEpochs(job, 2);
  EXPECT_EQ(job.result().test().users(), kUsers);
  EXPECT_GT(job.result().popularity().at_size(), 0);
  const fs::path output = cluster_.dir() / "results" / "plain";
  for (const char* folder : {"checkpoint-epoch-1", "checkpoint-epoch-2", "best_model", "logs"})
    EXPECT_TRUE(fs::exists(output / folder)) << folder;
  for (const auto& left : fs::recursive_directory_iterator(output / ".staging")) {
    EXPECT_TRUE(left.is_directory()) << left.path() << " was left behind";
  }
}

// A one-shot command of the trainer -> its exit code.
int Tool(const std::string& arguments) {
  const int status = std::system(absl::StrCat(PIXELREC_BIN_DIR "/pixelrec-trainer ", arguments, " > /dev/null").c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::vector<std::string> Lines(const fs::path& file) {
  std::ifstream in(file);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// Item id -> bytes of its row.
std::map<std::string, std::string> Embeddings(const fs::path& dir) {
  std::ifstream in(dir / "item_embeddings.npy", std::ios::binary);
  const std::string file{std::istreambuf_iterator<char>(in), {}};
  std::map<std::string, std::string> rows;
  if (file.size() < 10) return rows;
  const size_t header = 10 + static_cast<unsigned char>(file[8]) + 256 * static_cast<unsigned char>(file[9]);
  const std::vector<std::string> ids = Lines(dir / "item_ids.txt");
  const size_t width = (file.size() - header) / std::max<size_t>(ids.size(), 1);
  for (size_t i = 0; i < ids.size(); ++i) rows[ids[i]] = file.substr(header + i * width, width);
  return rows;
}

TEST_F(RealTrainerTest, WhatWasTrainedEncodesTokenizesAndRecommends) {
  const std::string id = cluster_.Submit(SmallJob(cluster_, "tools", 1)).job_id();
  const v1::Job job = cluster_.AwaitState(id, v1::JOB_STATE_SUCCEEDED);
  fs::path dataset;
  for (const auto& entry : fs::recursive_directory_iterator(cluster_.dir())) {
    if (entry.path().filename() == job.data_hash()) dataset = entry.path();
  }
  ASSERT_FALSE(dataset.empty());
  const fs::path output = cluster_.dir() / "results" / "tools", work = cluster_.dir() / "work";
  std::ofstream(cluster_.dir() / "histories.csv") << "user_id,item_id\na,i1\nb,i4\na,i2\n";
  for (const char* model : {"best_model", "checkpoint-epoch-1", "."}) {
    SCOPED_TRACE(model);
    const std::string arguments = absl::StrCat(" --threads 1 --model ", (output / model).string());
    const std::string by_data = absl::StrCat(" --dataset ", dataset.string());
    // A CSV of texts gives the embeddings that the prepared dataset gives, to the bit.
    ASSERT_EQ(Tool(absl::StrCat("encode", arguments, by_data, " --out ", (work / "dataset").string())), 0);
    ASSERT_EQ(Tool(absl::StrCat("encode", arguments, " --text-data ", (cluster_.dir() / "items.csv").string(), " --out ",
                                (work / "csv").string())),
              0);
    const auto rows = Embeddings(work / "csv");
    EXPECT_EQ(rows.size(), static_cast<size_t>(kItems));
    EXPECT_TRUE(rows == Embeddings(work / "dataset"));
    ASSERT_EQ(Tool(absl::StrCat("encode", arguments, " --item-prompt other: --text-data ",
                                (cluster_.dir() / "items.csv").string(), " --out ", (work / "csv").string())),
              0);
    EXPECT_FALSE(rows == Embeddings(work / "csv"));

    const fs::path recommendations = work / "recommendations.csv";
    ASSERT_EQ(Tool(absl::StrCat("recommend -k 4", arguments, by_data, " --input ", (cluster_.dir() / "histories.csv").string(),
                                " --out ", recommendations.string())),
              0);
    const std::vector<std::string> lines = Lines(recommendations);
    ASSERT_EQ(lines.size(), 9u);
    EXPECT_EQ(lines[0], "user_id,rank,item_id,title,score");
    EXPECT_TRUE(lines[1].starts_with("a,1,")) << lines[1];
    EXPECT_TRUE(lines[8].starts_with("b,4,")) << lines[8];
    EXPECT_EQ(Tool(absl::StrCat("recommend", arguments, by_data, " --item '7 cat'")), 0);
    EXPECT_EQ(Tool(absl::StrCat("recommend", arguments, by_data, " --item nothing 2> /dev/null")), 3);
    EXPECT_EQ(Tool(absl::StrCat("tokenize --model ", (output / model).string(), " ", (cluster_.dir() / "items.csv").string())),
              0);
  }
  EXPECT_EQ(Tool(absl::StrCat("encode --model ", cluster_.dir().string(), " --dataset ", dataset.string(), " --out ",
                              work.string(), " 2> /dev/null")),
            3);
}

TEST_F(RealTrainerTest, KillingTheCoordinatorRestartsNoRank) {
  const std::string id = cluster_.Submit(SmallJob(cluster_, "survivor", 6)).job_id();
  const v1::Job before = cluster_.Await(
      id, [](const v1::Job& job) { return job.state() == v1::JOB_STATE_RUNNING && job.epochs_size() > 0; }, "the first epoch");
  cluster_.KillCoordinator();
  cluster_.StartCoordinator();
  const v1::Job job = cluster_.AwaitState(id, v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(job.generation(), before.generation());
  EXPECT_EQ(job.infrastructure_restarts() + job.user_restarts(), 0);
  ExpectEpochs(job, 6);
  cluster_.Events(id);
}

TEST_F(RealTrainerTest, AKilledRankResumesFromTheLastCheckpoint) {
  const std::string id = cluster_.Submit(SmallJob(cluster_, "phoenix", 6)).job_id();
  const v1::Job before = AwaitCheckpoint(id);
  kill(static_cast<pid_t>(before.ranks(1).pid()), SIGKILL);
  const v1::Job job = cluster_.AwaitState(id, v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(job.infrastructure_restarts(), 1) << Story(cluster_.Events(id));
  EXPECT_EQ(job.generation(), before.generation() + 1);
  ExpectEpochs(job, 6);
}

v1::JobSpec ShardedJob(const Cluster& cluster, const std::string& name) {
  v1::JobSpec spec = SmallJob(cluster, name, 4);
  spec.mutable_distributed()->set_zero_stage(3);
  spec.mutable_distributed()->set_user_zero_stage(2);
  spec.mutable_checkpoint()->set_every_steps(2);
  return spec;
}

std::string Content(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Weights and moments of the last epoch, shard by shard.
TEST_F(RealTrainerTest, AKilledRankOfAShardedJobChangesNoBit) {
  const std::string undisturbed = cluster_.Submit(ShardedJob(cluster_, "undisturbed")).job_id();
  cluster_.AwaitState(undisturbed, v1::JOB_STATE_SUCCEEDED);
  const std::string id = cluster_.Submit(ShardedJob(cluster_, "killed")).job_id();
  const v1::Job before = AwaitCheckpoint(id);
  kill(static_cast<pid_t>(before.ranks(1).pid()), SIGKILL);
  const v1::Job job = cluster_.AwaitState(id, v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(job.infrastructure_restarts(), 1) << Story(cluster_.Events(id));
  const fs::path results = cluster_.dir() / "results";
  for (const char* kind : {"model", "optimizer"}) {
    for (int shard = 1; shard <= 2; ++shard) {
      const std::string file = absl::StrCat("checkpoint-epoch-4/", kind, "-0000", shard, "-of-00002.safetensors");
      const std::string want = Content(results / "undisturbed" / file);
      EXPECT_GT(want.size(), 100000U) << file;
      EXPECT_TRUE(Content(results / "killed" / file) == want) << file;
    }
  }
  // Tools read shards as they read whole files.
  ASSERT_EQ(
      Tool(absl::StrCat("encode --threads 1 --model ", (results / "killed" / "checkpoint-epoch-4").string(), " --text-data ",
                        (cluster_.dir() / "items.csv").string(), " --out ", (cluster_.dir() / "work").string())),
      0);
  EXPECT_EQ(Embeddings(cluster_.dir() / "work").size(), static_cast<size_t>(kItems));
  ASSERT_EQ(Tool(absl::StrCat("export ", (results / "killed" / "checkpoint-epoch-4").string(),
                              " --item-model-dir " PIXELREC_SOURCE_DIR
                              "/deploy/quickstart/stories260k --user-model-dir " PIXELREC_SOURCE_DIR
                              "/deploy/quickstart/stories260k --format reference-safetensors --out ",
                              (cluster_.dir() / "exported").string())),
            0);
}

}  // namespace
}  // namespace pixelrec::integration
