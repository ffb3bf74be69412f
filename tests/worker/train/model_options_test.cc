// Whole runs with the model's options: mean pooling (rule X5), random weights (rule F3), an encoder as item LLM, and their
// refusals.
#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "tests/worker/train/small_job.h"
#include "worker/checkpoint/best_model.h"
#include "worker/checkpoint/decoder_tensors.h"
#include "worker/train/failure.h"
#include "worker/train/hllm_parameters.h"
#include "worker/train/tensor_bytes.h"

namespace pixelrec::train {
namespace {

using testing::HasSubstr;

class ModelOptionsTest : public testing::Test {
 protected:
  TestFolder folder_{"model-options"};
  fs::path dataset_ = PrepareSmallData(folder_.path(), 600);

  TrainJob Job(const std::string& output) const { return SmallJob(dataset_, folder_.path() / output); }

  // A directory of config.json alone; the tokenizer isn't read by a trainer.
  fs::path ConfigOnly(const std::string& name, const std::string& config) const {
    fs::create_directories(folder_.path() / name);
    std::ofstream(folder_.path() / name / "config.json") << config;
    return folder_.path() / name;
  }
  fs::path TinyLlama() const {
    return ConfigOnly("llama", R"({"model_type": "llama", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
      "num_attention_heads": 2, "vocab_size": 512})");
  }
  fs::path TinyBert() const {
    return ConfigOnly("bert", R"({"model_type": "bert", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
      "num_attention_heads": 2, "vocab_size": 512, "max_position_embeddings": 32})");
  }
};

TEST_F(ModelOptionsTest, PoolingTrainsAtAnyWorldSizeRuleX5) {
  TrainJob job = Job("pooled");
  job.item_emb_token_n = 0;
  std::vector<RecordingLink> one, two;
  for (const absl::Status& status : RunGang(job, 1, one)) ASSERT_TRUE(status.ok()) << status;
  job.output_dir = folder_.path() / "pooled-two";
  for (const absl::Status& status : RunGang(job, 2, two)) ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(one[0].steps.size(), two[0].steps.size());
  for (size_t i = 0; i < one[0].steps.size(); ++i) EXPECT_NEAR(one[0].steps[i].loss, two[0].steps[i].loss, 1e-4) << "step " << i;
  auto best = checkpoint::OpenBestModel(folder_.path() / "pooled/best_model");
  ASSERT_TRUE(best.ok()) << best.status();
  EXPECT_EQ(best->info.item_emb_token_n, 0);
  EXPECT_EQ(best->item_emb_tokens.shape, (std::vector<int64_t>{1, 0, 64}));
}

TEST_F(ModelOptionsTest, PoolingRefusesAnItemWithoutTokens) {
  std::ifstream in(QuickstartFile("movietweetings-100k/items.csv"));
  std::ofstream out(folder_.path() / "few-items.csv");
  std::string line;
  for (int i = 0; i <= 20 && std::getline(in, line); ++i) out << line << "\n";
  out.close();
  fs::create_directories(folder_.path() / "few");
  TrainJob job =
      SmallJob(PrepareSmallData(folder_.path() / "few", 600, folder_.path() / "few-items.csv"), folder_.path() / "refused");
  job.item_emb_token_n = 0;
  RecordingLink link;
  const absl::Status status = RunTraining(job, link);
  EXPECT_THAT(std::string(status.message()), HasSubstr("items have none, the first is "));
  EXPECT_EQ(Classify(status).kind, FailureKind::kBadData);
}

TEST_F(ModelOptionsTest, RandomWeightsNeedNoFilesRuleF3) {
  TrainJob job = Job("random");
  job.item_model_dir = job.user_model_dir = TinyLlama();
  job.item_llm_init = job.user_llm_init = false;
  job.learning_rate = 1e-2;
  std::vector<RecordingLink> one, two;
  for (const absl::Status& status : RunGang(job, 1, one)) ASSERT_TRUE(status.ok()) << status;
  // Random weights give every item nearly the same embedding, so the filter leaves few logits; training tells the items apart.
  EXPECT_GT(one[0].steps.back().nce_samples, 2 * one[0].steps.front().nce_samples);
  auto best = checkpoint::OpenBestModel(job.output_dir / "best_model");
  ASSERT_TRUE(best.ok()) << best.status();
  EXPECT_NEAR(TensorOf(best->user.tensors.at("embed_tokens.weight")).std().item<double>(), 0.02, 1e-3);
  job.output_dir = folder_.path() / "random-two";
  for (const absl::Status& status : RunGang(job, 2, two)) ASSERT_TRUE(status.ok()) << status;
  EXPECT_NEAR(one[0].steps.front().loss, two[0].steps.front().loss, 1e-5);
  job.output_dir = folder_.path() / "random-other-seed";
  job.seed = 8;
  RecordingLink other;
  ASSERT_TRUE(RunTraining(job, other).ok());
  EXPECT_NE(other.steps.front().loss, one[0].steps.front().loss);
}

TEST_F(ModelOptionsTest, WeightsAreReadUnlessSaidOtherwise) {
  TrainJob job = Job("absent");
  job.item_model_dir = job.user_model_dir = TinyLlama();
  job.user_llm_init = false;
  RecordingLink link;
  const absl::Status status = RunTraining(job, link);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no weights"));
  EXPECT_EQ(Classify(status).kind, FailureKind::kBadModel);
}

TEST_F(ModelOptionsTest, EncoderIsAnItemModelThatPools) {
  TrainJob job = Job("bert-out");
  job.item_model_dir = TinyBert();
  job.user_model_dir = TinyLlama();
  job.item_llm_init = job.user_llm_init = false;
  job.item_emb_token_n = 0;
  job.learning_rate = 1e-2;
  job.gradient_checkpointing = true;
  RecordingLink link;
  const absl::Status status = RunTraining(job, link);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_LT(link.steps.back().loss, link.steps.front().loss);
  auto best = checkpoint::OpenBestModel(job.output_dir / "best_model");
  ASSERT_TRUE(best.ok()) << best.status();
  EXPECT_TRUE(best->item.tensors.contains("encoder.layer.0.attention.self.query.weight"));
}

TEST_F(ModelOptionsTest, RefusesEncodersElsewhere) {
  const auto message = [&](const fs::path& item, const fs::path& user, int64_t tokens) {
    TrainJob job = Job("refused");
    job.item_model_dir = item;
    job.user_model_dir = user;
    job.item_llm_init = job.user_llm_init = false;
    job.item_emb_token_n = tokens;
    RecordingLink link;
    return std::string(RunTraining(job, link).message());
  };
  EXPECT_THAT(message(TinyBert(), TinyLlama(), 1), HasSubstr("supported: item_emb_token_n: 0"));
  EXPECT_THAT(message(TinyLlama(), TinyBert(), 1), HasSubstr("user_model_dir: a bert is an encoder; supported: decoders"));
  const fs::path few = ConfigOnly("few-positions", R"({"model_type": "bert", "hidden_size": 16, "intermediate_size": 24,
      "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 512, "max_position_embeddings": 16})");
  EXPECT_THAT(message(few, TinyLlama(), 0), HasSubstr("max_text_length 24 is more than the 16 positions of"));
}

TEST(InitialTensors, FollowTheirRole) {
  auto gemma =
      checkpoint::ParseDecoderConfig(R"({"model_type": "gemma2", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
      "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 4, "vocab_size": 10})",
                                     "config.json");
  auto bert =
      checkpoint::ParseDecoderConfig(R"({"model_type": "bert", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
      "num_attention_heads": 2, "vocab_size": 10, "max_position_embeddings": 8, "initializer_range": 0.5})",
                                     "config.json");
  ASSERT_TRUE(gemma.ok()) << gemma.status();
  ASSERT_TRUE(bert.ok()) << bert.status();
  EXPECT_EQ(InitialTensor(*gemma, "attention_norm", "a", {4}, 1).sum().item<float>(), 0);  // 1 + weight
  EXPECT_EQ(InitialTensor(*bert, "embedding_norm", "a", {4}, 1).sum().item<float>(), 4);
  EXPECT_EQ(InitialTensor(*bert, "mlp_sum_norm_bias", "a", {4}, 1).abs().sum().item<float>(), 0);
  const at::Tensor weight = InitialTensor(*bert, "o_proj", "item_llm.o", {100, 100}, 1);
  EXPECT_NEAR(weight.std().item<double>(), 0.5, 0.02);
  EXPECT_TRUE(at::equal(weight, InitialTensor(*bert, "o_proj", "item_llm.o", {100, 100}, 1)));
  EXPECT_FALSE(at::equal(weight, InitialTensor(*bert, "o_proj", "user_llm.o", {100, 100}, 1)));
  EXPECT_FALSE(at::equal(weight, InitialTensor(*bert, "o_proj", "item_llm.o", {100, 100}, 2)));
}

}  // namespace
}  // namespace pixelrec::train
