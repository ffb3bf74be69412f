// Whole runs: what a trainer reports and writes, that a resumed run is the undisturbed one, and what it does when things fail.
#include "worker/train/trainer.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <iterator>

#include "tests/worker/train/same_checkpoint.h"
#include "tests/worker/train/small_job.h"
#include "worker/checkpoint/best_model.h"
#include "worker/checkpoint/checkpoint_files.h"
#include "worker/checkpoint/safetensors.h"
#include "worker/train/failure.h"
#include "worker/train/tensor_bytes.h"

namespace pixelrec::train {
namespace {

class TrainerTest : public testing::Test {
 protected:
  TestFolder folder_{"trainer"};
  fs::path dataset_ = PrepareSmallData(folder_.path(), 1500);

  TrainJob Job(const std::string& output) const { return SmallJob(dataset_, folder_.path() / output); }
};

TEST_F(TrainerTest, ReportsAndWritesEverything) {
  TrainJob job = Job("out");
  job.epochs = 2;
  job.learning_rate = 1e-3;
  job.bf16 = true;
  RecordingLink link;
  const absl::Status status = RunTraining(job, link);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(link.started_at, 0);
  ASSERT_EQ(link.epochs.size(), 2U);
  EXPECT_LT(link.steps.back().loss, link.steps.front().loss);
  ASSERT_TRUE(link.result.has_value());
  EXPECT_EQ(link.result->test.at.size(), 4U);
  EXPECT_GT(link.result->popularity.users, 0);
  EXPECT_GT(link.result->tokens, 0);
  for (const char* name : {"checkpoint-epoch-1", "checkpoint-epoch-2"}) {
    auto opened = checkpoint::OpenCheckpoint(job.output_dir / name);
    EXPECT_TRUE(opened.ok()) << opened.status();
  }
  auto best = checkpoint::OpenBestModel(job.output_dir / "best_model");
  ASSERT_TRUE(best.ok()) << best.status();
  EXPECT_EQ(best->info.text_keys, job.text_keys);
  for (const ArtifactRecord& a : link.artifacts) {
    EXPECT_GT(a.bytes, 0);
    EXPECT_FALSE(a.manifest_digest.empty());
  }
  std::ifstream metrics(job.output_dir / "logs/metrics.jsonl");
  const std::string logged((std::istreambuf_iterator<char>(metrics)), std::istreambuf_iterator<char>());
  for (const char* quantity : {"nce_samples", "scale", "nce_top1_acc", "nce_top100_acc", "last_item"}) {
    EXPECT_NE(logged.find(quantity), std::string::npos) << quantity;
  }
  EXPECT_NEAR(link.steps.front().scale, 1 / 0.07, 0.1);
  EXPECT_GT(link.steps.front().nce_samples, 1);
  EXPECT_LE(link.steps.front().nce_samples, 1.0 + static_cast<double>(link.steps.front().negatives));
  EXPECT_THAT(link.notices, testing::Contains(testing::HasSubstr("bf16")));  // never ignored in silence
}

TEST_F(TrainerTest, ResumedAtAnEpochIsTheUndisturbedRun) {
  TrainJob job = Job("whole");
  job.epochs = 2;
  RecordingLink whole;
  ASSERT_TRUE(RunTraining(job, whole).ok());

  TrainJob resumed = Job("resumed");
  resumed.epochs = 2;
  resumed.generation = 2;
  resumed.resume_from = job.output_dir / "checkpoint-epoch-1";
  resumed.finished_epochs = {whole.epochs[0]};
  fs::create_directories(resumed.output_dir);  // the folder as it was when epoch 1 had ended
  fs::copy(job.output_dir / "job.json", resumed.output_dir / "job.json");
  fs::copy(job.output_dir / "best_model", resumed.output_dir / "best_model", fs::copy_options::recursive);
  RecordingLink second;
  const absl::Status status = RunTraining(resumed, second);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(second.started_at, whole.epochs[0].step);
  ExpectSameWeights(job.output_dir / "checkpoint-epoch-2", resumed.output_dir / "checkpoint-epoch-2");
  EXPECT_EQ(second.result->sample_digest, whole.result->sample_digest);
  EXPECT_EQ(second.result->epochs.size(), 2U);
}

TEST_F(TrainerTest, StoppedInAnyStepOfAnEpochAndResumed) {
  TrainJob job = Job("whole");
  RecordingLink whole;
  ASSERT_TRUE(RunTraining(job, whole).ok());

  // The middle, and the last step: what follows an epoch is left to the run that goes on.
  for (const auto stop : {int64_t{8}, static_cast<int64_t>(whole.steps.size())}) {
    SCOPED_TRACE(stop);
    TrainJob stopped = Job(absl::StrCat("stopped-", stop));
    RecordingLink first;
    first.stop_after = stop - 1;
    EXPECT_TRUE(absl::IsCancelled(RunTraining(stopped, first)));
    ASSERT_EQ(first.artifacts.size(), 1U);
    EXPECT_EQ(first.artifacts[0].kind, ArtifactKind::kRecoveryCheckpoint);
    EXPECT_EQ(first.artifacts[0].step, stop);
    stopped.generation = 2;
    stopped.resume_from = first.artifacts[0].path;
    RecordingLink second;
    const absl::Status status = RunTraining(stopped, second);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(second.started_at, stop);
    ExpectSameWeights(job.output_dir / "checkpoint-epoch-1", stopped.output_dir / "checkpoint-epoch-1");
    EXPECT_DOUBLE_EQ(second.epochs[0].train_loss, whole.epochs[0].train_loss);
  }
}

TEST_F(TrainerTest, CheckpointingActivationsChangesNothing) {
  TrainJob job = Job("plain");
  RecordingLink plain, checkpointed;
  ASSERT_TRUE(RunTraining(job, plain).ok());
  job.output_dir = folder_.path() / "checkpointed";
  job.gradient_checkpointing = true;
  ASSERT_TRUE(RunTraining(job, checkpointed).ok());
  for (size_t i = 0; i < plain.steps.size(); ++i) EXPECT_EQ(plain.steps[i].loss, checkpointed.steps[i].loss) << i;
}

TEST_F(TrainerTest, FixedNumberOfNegativesRuleW11) {
  TrainJob job = Job("k");
  job.num_negatives = 5;
  RecordingLink link;
  ASSERT_TRUE(RunTraining(job, link).ok());
  EXPECT_LT(link.steps[0].loss, 5.0);  // six logits only
}

TEST_F(TrainerTest, AFrozenSideStaysAsItWas) {
  TrainJob job = Job("frozen");
  job.freeze = {"item_llm"};
  job.lr_mult_prefix = {{"user_llm", 0.5}};
  job.learning_rate = 1e-2;
  RecordingLink link;
  const absl::Status status = RunTraining(job, link);
  ASSERT_TRUE(status.ok()) << status;
  auto source = checkpoint::SafetensorsFile::Open(job.item_model_dir / "model.safetensors");
  auto trained = checkpoint::OpenCheckpoint(job.output_dir / "checkpoint-epoch-1");
  ASSERT_TRUE(source.ok() && trained.ok());
  const auto distance = [&](const std::string& name) {
    const at::Tensor before = TensorOf(*(*source)->Find("model." + name.substr(9)));
    return (TensorOf(*trained->model->Find(name)) - before).abs().max().item<double>();
  };
  EXPECT_EQ(distance("item_llm.layers.0.mlp.up_proj.weight"), 0);
  EXPECT_EQ(distance("item_llm.norm.weight"), 0);
  EXPECT_GT(distance("user_llm.layers.0.mlp.up_proj.weight"), 0);
}

// An Evaluate job of the best model finds what the training job found, and trains and writes nothing.
TEST_F(TrainerTest, EvaluateRanksWithTheGivenWeights) {
  TrainJob job = Job("trained");
  job.learning_rate = 1e-3;
  RecordingLink trained;
  ASSERT_TRUE(RunTraining(job, trained).ok());
  TrainJob evaluate = Job("evaluated");
  evaluate.evaluate_only = true;
  evaluate.init_from = job.output_dir / "best_model";
  std::vector<RecordingLink> links;
  for (const absl::Status& s : RunGang(evaluate, 2, links)) ASSERT_TRUE(s.ok()) << s;
  ASSERT_TRUE(links[0].result.has_value());
  const ResultRecord &expected = *trained.result, &got = *links[0].result;
  ASSERT_EQ(got.test.at.size(), expected.test.at.size());
  for (size_t i = 0; i < got.test.at.size(); ++i) {
    EXPECT_EQ(got.test.at[i].recall, expected.test.at[i].recall);
    EXPECT_EQ(got.test.at[i].ndcg, expected.test.at[i].ndcg);
    EXPECT_EQ(got.validation.at[i].recall, trained.epochs[0].validation.at[i].recall);
  }
  EXPECT_NEAR(*got.validation_loss, trained.epochs[0].validation_loss, 1e-6);
  EXPECT_TRUE(links[0].steps.empty());
  EXPECT_TRUE(links[0].artifacts.empty());
  EXPECT_TRUE(fs::exists(evaluate.output_dir / "logs/metrics.jsonl"));
}

TEST_F(TrainerTest, EarlyStoppingEndsWithTheBestModel) {
  TrainJob job = Job("early");
  job.epochs = 6;
  job.learning_rate = 3e-2;  // far too high: the first epochs are the best
  job.early_stopping.patience = 1;
  RecordingLink link;
  const absl::Status status = RunTraining(job, link);
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_LT(link.epochs.size(), 6U);
  EXPECT_FALSE(link.epochs.back().best);
  const auto stopped = std::find_if(link.notices.begin(), link.notices.end(),
                                    [](const std::string& n) { return n.find("stopped early") != std::string::npos; });
  EXPECT_NE(stopped, link.notices.end());
  ASSERT_TRUE(link.result.has_value());
  EXPECT_EQ(link.result->epochs.size(), link.epochs.size());
}

// Items that all read alike have one embedding: every negative is filtered and the loss is 0, which is no success.
TEST_F(TrainerTest, CollapsedEmbeddingsAreATypedFailure) {
  const fs::path texts = folder_.path() / "alike.csv";
  std::ifstream in(QuickstartFile("movietweetings-100k/items.csv"));
  std::ofstream out(texts);
  out << "item_id,title\n";
  std::string line;
  for (std::getline(in, line); std::getline(in, line);) out << line.substr(0, line.find(',')) << ",film\n";
  out.close();
  TrainJob job = SmallJob(PrepareSmallData(folder_.path(), 1500, texts), folder_.path() / "collapsed");
  job.max_collapsed_steps = 12;
  RecordingLink link;
  const absl::Status status = RunTraining(job, link);
  EXPECT_EQ(Classify(status).kind, FailureKind::kLossCollapse) << status;
  ASSERT_EQ(link.warnings.size(), 1U);
  EXPECT_NE(link.warnings[0].find("the embeddings have collapsed"), std::string::npos);
  EXPECT_EQ(link.steps.size(), 11U);
}

TEST_F(TrainerTest, DivergenceIsATypedFailureRuleW5) {
  TrainJob job = Job("nan");
  job.learning_rate = 1e30;
  job.warmup_ratio = 0;
  job.max_nonfinite_steps = 3;
  RecordingLink link;
  const absl::Status status = RunTraining(job, link);
  EXPECT_EQ(Classify(status).kind, FailureKind::kNonfiniteLoss) << status;
  EXPECT_GE(link.warnings.size(), 3U);  // each skipped step is told
}

TEST_F(TrainerTest, BadInputsAreNamed) {
  TrainJob missing = Job("x");
  missing.item_model_dir = folder_.path() / "nowhere";
  RecordingLink link;
  absl::Status status = RunTraining(missing, link);
  EXPECT_EQ(Classify(status).kind, FailureKind::kBadModel);
  EXPECT_NE(std::string(status.message()).find("nowhere"), std::string::npos) << status;

  TrainJob no_data = Job("x");
  no_data.dataset_dir = folder_.path() / "datasets" / "0123";
  EXPECT_EQ(Classify(RunTraining(no_data, link)).kind, FailureKind::kBadData);

  TrainJob no_folder = Job("x");
  std::ofstream(folder_.path() / "file") << "in the way";
  no_folder.output_dir = folder_.path() / "file" / "out";
  EXPECT_EQ(Classify(RunTraining(no_folder, link)).kind, FailureKind::kOutputUnwritable);

  TrainJob other_run = Job("x");
  RecordingLink first;
  ASSERT_TRUE(RunTraining(other_run, first).ok());
  other_run.resume_from = other_run.output_dir / "checkpoint-epoch-1";
  other_run.seed = 8;
  status = RunTraining(other_run, link);
  EXPECT_NE(std::string(status.message()).find("seed"), std::string::npos) << status;
}

TEST_F(TrainerTest, OutputPolicies) {
  TrainJob first = Job("out");
  RecordingLink link;
  ASSERT_TRUE(RunTraining(first, link).ok());
  std::ofstream(first.output_dir / "notes.txt") << "the user's own";

  TrainJob second = first;
  second.job_id = "small-2";
  absl::Status status = RunTraining(second, link);
  EXPECT_TRUE(absl::IsAlreadyExists(status)) << status;
  EXPECT_NE(std::string(status.message()).find("small-1"), std::string::npos) << status;
  EXPECT_NE(Classify(status).hint.find("output_policy"), std::string::npos);

  second.epochs = 1;
  second.output_policy = OutputPolicy::kResume;  // nothing is left to train: the evaluation alone
  RecordingLink resumed;
  status = RunTraining(second, resumed);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(resumed.started_at, link.epochs[0].step);

  TrainJob third = first;
  third.job_id = "small-3";
  third.output_policy = OutputPolicy::kReplace;
  RecordingLink replaced;
  ASSERT_TRUE(RunTraining(third, replaced).ok());
  EXPECT_EQ(replaced.started_at, 0);
  EXPECT_TRUE(fs::exists(first.output_dir / "notes.txt"));  // only results are removed
}

// A checkpoint that can't be written is told and doesn't end the run.
TEST_F(TrainerTest, UnwritableCheckpointIsTold) {
  TrainJob job = Job("out");
  job.checkpoint_every_steps = 3;
  fs::create_directories(job.output_dir);
  std::ofstream(job.output_dir / "job.json") << R"({"job_id": "small-1"})";  // this job's own folder
  std::ofstream(job.output_dir / ".staging") << "in the way";
  RecordingLink link;
  const absl::Status status = RunTraining(job, link);
  EXPECT_EQ(Classify(status).kind, FailureKind::kOutputUnwritable) << status;  // best_model at the end of the epoch
  ASSERT_FALSE(link.warnings.empty());
  EXPECT_NE(link.warnings[0].find("training goes on"), std::string::npos);
}

}  // namespace
}  // namespace pixelrec::train
