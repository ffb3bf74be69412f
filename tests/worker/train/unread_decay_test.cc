// Rule M6 in compat: the closed form of weight decay on tensors that nothing reads, against a plain AdamW that gets no gradients.
#include "worker/train/unread_decay.h"

#include <ATen/ATen.h>
#include <torch/optim/adamw.h>

#include "tests/fidelity_record.h"
#include "tests/worker/train/small_job.h"
#include "worker/checkpoint/best_model.h"
#include "worker/checkpoint/checkpoint_files.h"
#include "worker/checkpoint/hllm_export.h"
#include "worker/train/tensor_bytes.h"

namespace pixelrec::train {
namespace {

class UnreadDecayTest : public testing::Test {
 protected:
  TestFolder folder_{"unread"};
  fs::path dataset_ = PrepareSmallData(folder_.path(), 1500);

  TrainJob Job() const {
    TrainJob job = SmallJob(dataset_, folder_.path() / "out");
    job.epochs = 2;
    job.learning_rate = 2e-3;
    job.weight_decay = 5;  // far more than usual, so that a wrong step shows
    job.compat.decay_unread = true;
    return job;
  }
  at::Tensor Base() const {
    auto file = checkpoint::SafetensorsFile::Open(QuickstartFile("stories260k/model.safetensors"));
    return TensorOf(*(*file)->Find("model.embed_tokens.weight")).to(at::kFloat).clone();
  }
  // `base` after AdamW steps of these learning rates, with gradients of zero.
  static at::Tensor AfterAdamW(const at::Tensor& base, const std::vector<StepRecord>& steps, double weight_decay) {
    at::Tensor weight = base.clone().requires_grad_(true);
    torch::optim::AdamW optimizer({weight}, torch::optim::AdamWOptions(0).weight_decay(weight_decay));
    weight.mutable_grad() = at::zeros_like(weight);
    for (const StepRecord& step : steps) {
      static_cast<torch::optim::AdamWOptions&>(optimizer.param_groups()[0].options()).lr(step.learning_rate);
      optimizer.step();
    }
    return weight.detach();
  }
  static double Difference(const at::Tensor& got, const at::Tensor& expected) {
    return ((got - expected).abs().max() / expected.abs().max()).item<double>();
  }
};

TEST_F(UnreadDecayTest, BestModelAndExportsHoldWhatAdamWLeavesRuleM6) {
  const TrainJob job = Job();
  RecordingLink link;
  const absl::Status status = RunTraining(job, link);
  ASSERT_TRUE(status.ok()) << status;
  const std::string name = "user_llm.embed_tokens.weight";
  auto best = checkpoint::OpenBestModel(job.output_dir / "best_model");
  ASSERT_TRUE(best.ok()) << best.status();
  const std::vector<StepRecord> until_best(link.steps.begin(), link.steps.begin() + best->info.step);
  const at::Tensor expected = AfterAdamW(Base(), until_best, job.weight_decay);
  EXPECT_GT(Difference(expected, Base()), 0.05);
  ExpectWithin("M6", "decayed user embed_tokens of best_model against AdamW without gradients",
               Difference(TensorOf(best->user.tensors.at("embed_tokens.weight")), expected), 1e-5);

  // A checkpoint of another step, filled from best_model/ (decayed already) and from the base model.
  const auto weights = checkpoint::OpenHllmWeights(job.output_dir / "checkpoint-epoch-1");
  ASSERT_TRUE(weights.ok()) << weights.status();
  ASSERT_EQ(weights->unread_decay.count(name), 1u);
  const at::Tensor after_first = AfterAdamW(Base(), {link.steps.begin(), link.steps.begin() + weights->step}, job.weight_decay);
  const fs::path base = QuickstartFile("stories260k");
  for (const auto& options : {checkpoint::WithKnownModels({}, weights->path),
                              checkpoint::ExportOptions{.item_model_dir = base, .user_model_dir = base}}) {
    for (const auto format : {checkpoint::ExportFormat::kReferenceSafetensors, checkpoint::ExportFormat::kHuggingFace}) {
      checkpoint::ExportOptions with_format = options;
      with_format.format = format;
      const fs::path out = folder_.path() / "export";
      fs::remove_all(out);
      fs::create_directories(out);
      const auto written = checkpoint::WriteExport(out, *weights, with_format);
      ASSERT_TRUE(written.ok()) << written.status();
      const bool hf = format == checkpoint::ExportFormat::kHuggingFace;
      auto file = checkpoint::SafetensorsFile::Open(hf ? out / "user_llm/model.safetensors" : out / "model.safetensors");
      ASSERT_TRUE(file.ok()) << file.status();
      const at::Tensor got = TensorOf(*(*file)->Find(hf ? "model.embed_tokens.weight" : "user_llm.model.embed_tokens.weight"));
      EXPECT_LT(Difference(got, after_first), 1e-5) << options.user_model_dir << " hf " << hf;
    }
  }
}

TEST_F(UnreadDecayTest, GoesOnFromACheckpoint) {
  TrainJob job = Job();
  RecordingLink whole;
  ASSERT_TRUE(RunTraining(job, whole).ok());
  const auto factors = [](const fs::path& path) { return checkpoint::OpenCheckpoint(path)->manifest.unread_decay; };
  const auto expected = factors(job.output_dir / "checkpoint-epoch-2");
  EXPECT_LT(expected.at("user_llm.lm_head.weight"), factors(job.output_dir / "checkpoint-epoch-1").at("user_llm.lm_head.weight"));
  fs::remove_all(job.output_dir / "checkpoint-epoch-2");
  job.generation = 2;
  job.resume_from = job.output_dir / "checkpoint-epoch-1";
  RecordingLink resumed;
  ASSERT_TRUE(RunTraining(job, resumed).ok());
  EXPECT_EQ(factors(job.output_dir / "checkpoint-epoch-2"), expected);
}

TEST(UnreadDecay, FollowsFreezeTiesAndLearningRateFactorsRuleM6) {
  TrainJob job{.weight_decay = 0.1, .lr_mult_prefix = {{"user_llm", 0.5}}};
  checkpoint::DecoderConfig config;
  EXPECT_TRUE(UnreadDecay(job, config).factors().empty());  // exact
  job.compat.decay_unread = true;
  UnreadDecay decay(job, config);
  decay.Step(0.2);
  decay.Step(0.1);
  ASSERT_EQ(decay.factors().size(), 3u);
  EXPECT_DOUBLE_EQ(decay.factors().at("item_llm.lm_head.weight"), (1 - 0.02) * (1 - 0.01));
  EXPECT_DOUBLE_EQ(decay.factors().at("user_llm.lm_head.weight"), (1 - 0.01) * (1 - 0.005));
  config.tie_word_embeddings = true;
  EXPECT_FALSE(UnreadDecay(job, config).factors().contains("item_llm.lm_head.weight"));
  job.freeze = {"user_llm"};
  EXPECT_TRUE(UnreadDecay(job, config).factors().empty());
}

}  // namespace
}  // namespace pixelrec::train
