#include "worker/checkpoint/model_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/worker/checkpoint/tiny_model.h"

namespace pixelrec::checkpoint {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ModelWeightsTest : public ::testing::Test {
 protected:
  absl::StatusOr<ModelWeights> Open() { return OpenModelWeights(dir(), *ParseDecoderConfig(kTinyConfig, "config.json")); }
  std::string Refusal() { return std::string(Open().status().message()); }
  std::filesystem::path dir() const { return folder_.path() / "model"; }
  // The tiny model with its tensors changed.
  void Write(const std::vector<TensorSpec>& tensors) { WriteTinyModel(dir(), tensors); }

 private:
  TemporaryFolder folder_;
};

TEST_F(ModelWeightsTest, ReadsBothWaysOfNaming) {
  for (const std::string prefix : {"model.", ""}) {
    for (const std::string dtype : {"F32", "F16", "BF16"}) {
      Write(TinyTensors(prefix, dtype));
      const auto weights = Open();
      ASSERT_TRUE(weights.ok()) << weights.status();
      EXPECT_EQ(weights->tensors.size(), 20u);
      const TensorInfo& norm = weights->tensors.at("norm.weight");
      EXPECT_EQ(norm.name, "norm.weight");
      EXPECT_EQ(std::string(reinterpret_cast<const char*>(norm.data), norm.bytes),
                TensorContent({prefix + "norm.weight", dtype, {4}}));
      EXPECT_FALSE(weights->lm_head.has_value());
    }
  }
}

TEST_F(ModelWeightsTest, ReadsTheQuickstartModel) {
  const std::filesystem::path quickstart = PIXELREC_SOURCE_DIR "/deploy/quickstart/stories260k";
  const auto config = ReadDecoderConfig(quickstart);
  ASSERT_TRUE(config.ok());
  const auto weights = OpenModelWeights(quickstart, *config);
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_EQ(weights->tensors.size(), 47u);
}

TEST_F(ModelWeightsTest, KeepsTheHeadAndNamesWhatItDoesNotUse) {
  auto tensors = TinyTensors();
  tensors.push_back({"lm_head.weight", "F32", {5, 4}});
  tensors.push_back({"score.weight", "F32", {2, 4}});
  tensors.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", "F32", {1}});
  Write(tensors);
  const auto weights = Open();
  ASSERT_TRUE(weights.ok()) << weights.status();
  ASSERT_TRUE(weights->lm_head.has_value());
  EXPECT_EQ(weights->lm_head->bytes, 80u);
  EXPECT_THAT(weights->ignored, ElementsAre("layers.0.self_attn.rotary_emb.inv_freq", "score.weight"));
}

TEST_F(ModelWeightsTest, NamesAMissingTensor) {
  auto tensors = TinyTensors();
  tensors.erase(tensors.begin() + 12);
  Write(tensors);
  EXPECT_THAT(Refusal(),
              HasSubstr("model: tensor layers.1.self_attn.k_proj.weight: expected shape [2, 4] by config.json, got no such"));
}

TEST_F(ModelWeightsTest, NamesAWrongShape) {
  auto tensors = TinyTensors();
  tensors[1].shape = {5};
  Write(tensors);
  EXPECT_THAT(
      Refusal(),
      HasSubstr("model.safetensors: tensor model.layers.0.input_layernorm.weight: expected shape [4] by config.json, got [5]"));
}

TEST_F(ModelWeightsTest, NamesAnUnsupportedDtype) {
  Write(TinyTensors("model.", "I64"));
  EXPECT_THAT(Refusal(), HasSubstr("tensor model.embed_tokens.weight: expected dtype F32, F16 or BF16, got I64"));
}

TEST_F(ModelWeightsTest, RefusesMathematicsThatConfigDoesNotMention) {
  auto tensors = TinyTensors();
  tensors.push_back({"model.layers.0.self_attn.q_proj.bias", "F32", {4}});
  Write(tensors);
  EXPECT_THAT(Refusal(), HasSubstr("tensor model.layers.0.self_attn.q_proj.bias: unexpected; a llama of 2 layers"));
  tensors.back() = {"model.layers.2.input_layernorm.weight", "F32", {4}};
  Write(tensors);
  EXPECT_THAT(Refusal(), HasSubstr("tensor model.layers.2.input_layernorm.weight: unexpected"));
}

TEST_F(ModelWeightsTest, RefusesOneTensorUnderTwoNames) {
  auto tensors = TinyTensors();
  tensors.push_back({"norm.weight", "F32", {4}});
  Write(tensors);
  EXPECT_THAT(Refusal(), HasSubstr("tensor norm.weight occurs twice among the model's files"));
}

TEST_F(ModelWeightsTest, NamesATruncatedFile) {
  Write(TinyTensors());
  std::filesystem::resize_file(dir() / "model.safetensors", std::filesystem::file_size(dir() / "model.safetensors") - 3);
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(Refusal(), HasSubstr("model.safetensors: truncated"));
  EXPECT_THAT(Refusal(), HasSubstr("3 are missing"));
}

TEST_F(ModelWeightsTest, SaysWhatLiesThereInsteadOfWeights) {
  std::filesystem::create_directories(dir());
  EXPECT_THAT(Refusal(), HasSubstr("no weights; a model directory holds model.safetensors or pytorch_model.bin"));
  WriteRaw(dir() / "pytorch_model.bin", "x");
  EXPECT_THAT(Refusal(), HasSubstr("pytorch_model.bin: not a ZIP archive"));
}

// tests/reference/torch_file_fixtures.py: transformers' own model, saved by torch.
TEST(TorchModelTest, ReadsBinFilesWholeAndInShards) {
  const std::filesystem::path fixtures = PIXELREC_SOURCE_DIR "/tests/worker/checkpoint/fixtures";
  const auto expected = *SafetensorsFile::Open(fixtures / "single_bin/reference.safetensors");
  for (const auto& [folder, files] : {std::pair("single_bin", 1u), std::pair("sharded_bin", 2u)}) {
    const auto config = ReadDecoderConfig(fixtures / folder);
    ASSERT_TRUE(config.ok()) << config.status();
    const auto weights = OpenModelWeights(fixtures / folder, *config);
    ASSERT_TRUE(weights.ok()) << weights.status();
    EXPECT_EQ(weights->files.size(), files);
    EXPECT_EQ(weights->tensors.size(), 20u);
    for (const auto& [name, tensor] : weights->tensors) {
      const TensorInfo original = *expected->Find("model." + name);
      EXPECT_EQ(tensor.dtype, "BF16");
      EXPECT_EQ(absl::MakeConstSpan(tensor.data, tensor.bytes), absl::MakeConstSpan(original.data, original.bytes)) << name;
    }
    ASSERT_TRUE(weights->lm_head.has_value());
    EXPECT_EQ(weights->lm_head->bytes, 40u);
  }
}

TEST_F(ModelWeightsTest, TakesSafetensorsBeforeBin) {
  Write(TinyTensors());
  WriteRaw(dir() / "pytorch_model.bin", "x");
  EXPECT_TRUE(Open().ok());
}

class ShardedModelTest : public ModelWeightsTest {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(dir());
    std::vector<TensorSpec> tensors = TinyTensors(), second(tensors.begin() + 9, tensors.end());
    tensors.resize(9);
    WriteTensors(dir() / "model-00001-of-00002.safetensors", tensors);
    WriteTensors(dir() / "model-00002-of-00002.safetensors", second);
    std::string map;
    for (const auto& tensor : tensors) absl::StrAppend(&map, "\"", tensor.name, "\":\"model-00001-of-00002.safetensors\",");
    for (const auto& tensor : second) absl::StrAppend(&map, "\"", tensor.name, "\":\"model-00002-of-00002.safetensors\",");
    WriteIndex(map.substr(0, map.size() - 1));
    map_ = map;
  }
  void WriteIndex(const std::string& map) {
    WriteRaw(dir() / "model.safetensors.index.json", absl::StrCat(R"({"metadata":{"total_size":1},"weight_map":{)", map, "}}"));
  }
  std::string map_;
};

TEST_F(ShardedModelTest, ReadsShards) {
  const auto weights = Open();
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_EQ(weights->tensors.size(), 20u);
  EXPECT_EQ(weights->files.size(), 2u);
}

TEST_F(ShardedModelTest, NamesAMissingShard) {
  std::filesystem::remove(dir() / "model-00002-of-00002.safetensors");
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Refusal(), HasSubstr("model-00002-of-00002.safetensors"));
}

TEST_F(ShardedModelTest, NamesATensorThatIsNotInItsShard) {
  WriteIndex(map_ + R"("model.extra":"model-00001-of-00002.safetensors")");
  EXPECT_THAT(Refusal(), HasSubstr("says that tensor model.extra is in model-00001-of-00002.safetensors, which doesn't have it"));
}

TEST_F(ShardedModelTest, NeverLeavesTheFolder) {
  for (const std::string name :
       {"../other.safetensors", "/etc/x.safetensors", "", ".hidden.safetensors", "x.bin", "a/b.safetensors"}) {
    WriteIndex("\"model.norm.weight\":\"" + name + "\"");
    EXPECT_THAT(Refusal(), HasSubstr("is not the plain name of a .safetensors file")) << name;
  }
  WriteIndex("");
  EXPECT_THAT(Refusal(), HasSubstr("weight_map: names no tensor"));
  WriteIndex("\"a\":1");
  EXPECT_THAT(Refusal(), HasSubstr("weight_map: a: must be a file name"));
  WriteRaw(dir() / "model.safetensors.index.json", "{}");
  EXPECT_THAT(Refusal(), HasSubstr("weight_map: missing"));
}

}  // namespace
}  // namespace pixelrec::checkpoint
