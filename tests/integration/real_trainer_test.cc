// Real daemons and the real trainer, two ranks over Gloo, on a data set of a few dozen users.
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "tests/integration/cluster.h"

namespace pixelrec::integration {
namespace {

namespace fs = std::filesystem;

constexpr int kUsers = 48, kItems = 60, kEvents = 9;

// Every user walks over the items with a stride of their own: enough structure for a loss that falls.
void WriteData(const fs::path& dir) {
  std::ofstream interactions(dir / "interactions.csv"), items(dir / "items.csv");
  interactions << "user_id,item_id,timestamp\n";
  for (int user = 0; user < kUsers; ++user) {
    for (int event = 0; event < kEvents; ++event) {
      interactions << "u" << user << ",i" << (user * 7 + event * (1 + user % 3)) % kItems << "," << 1000 + event << "\n";
    }
  }
  items << "item_id,title\n";
  const char* things[] = {"cat", "dog", "sun", "tree", "boat", "bird", "ball"};
  // What tells items apart comes first: max_text_length cuts the rest.
  for (int item = 0; item < kItems; ++item) items << "i" << item << "," << item << " " << things[item % 7] << "\n";
}

v1::JobSpec SmallJob(const Cluster& cluster, const std::string& name, int epochs) {
  v1::JobSpec spec;
  spec.set_kind("TrainingJob");
  spec.set_name(name);
  spec.mutable_data()->set_interaction_data((cluster.dir() / "interactions.csv").string());
  spec.mutable_data()->set_text_data((cluster.dir() / "items.csv").string());
  spec.mutable_data()->add_text_keys("title");
  spec.mutable_data()->set_item_prompt("");
  spec.mutable_data()->set_max_seq_length(6);
  spec.mutable_data()->set_max_text_length(12);
  const std::string model = PIXELREC_SOURCE_DIR "/deploy/quickstart/stories260k";
  spec.mutable_model()->set_item_model_dir(model);
  spec.mutable_model()->set_user_model_dir(model);
  spec.mutable_model()->set_gradient_checkpointing(false);
  spec.mutable_train()->set_global_batch_size(8);
  spec.mutable_train()->set_num_train_epochs(epochs);
  spec.mutable_train()->set_learning_rate(1e-3);
  spec.mutable_train()->set_logging_steps(1);
  spec.mutable_distributed()->set_workers(2);
  spec.mutable_evaluation()->add_k(5);
  spec.set_output_dir((cluster.dir() / "results" / name).string());
  return spec;
}

// Each epoch once, in order, whatever died on the way.
void ExpectEpochs(const v1::Job& job, int epochs) {
  ASSERT_EQ(job.epochs_size(), epochs);
  for (int i = 0; i < epochs; ++i) EXPECT_EQ(job.epochs(i).epoch(), i + 1);
  EXPECT_LT(job.epochs(epochs - 1).train_loss(), job.epochs(0).train_loss()) << job.DebugString();
}

class RealTrainerTest : public testing::Test {
 protected:
  RealTrainerTest() { WriteData(cluster_.dir()); }
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
  const v1::Job before = cluster_.Await(
      id, [](const v1::Job& job) { return job.state() == v1::JOB_STATE_RUNNING && job.has_checkpoint(); },
      "the first checkpoint");
  kill(static_cast<pid_t>(before.ranks(1).pid()), SIGKILL);
  const v1::Job job = cluster_.AwaitState(id, v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(job.infrastructure_restarts(), 1) << Story(cluster_.Events(id));
  EXPECT_EQ(job.generation(), before.generation() + 1);
  ExpectEpochs(job, 6);
}

}  // namespace
}  // namespace pixelrec::integration
