#include "worker/checkpoint/best_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/checkpoint/tiny_model.h"

namespace pixelrec::checkpoint {
namespace {

using ::testing::HasSubstr;

class BestModelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto tensors = TinyTensors("", "BF16");
    tensors.push_back({"lm_head.weight", "BF16", {5, 4}});
    WriteTinyModel(source(), tensors);
    WriteRaw(source() / "unrelated.txt", "x");
    config_ = *ReadDecoderConfig(source());
    original_ = *OpenModelWeights(source(), config_);
  }
  std::filesystem::path source() const { return folder_.path() / "source"; }
  std::filesystem::path out() const { return folder_.path() / "best_model"; }

  // All tensors but the given one "trained": F32, every byte `fill`.
  HfExport Trained(const std::string& untrained = "") {
    HfExport model{source(), &config_, &original_, {}};
    for (const TensorSpec& spec : DecoderTensors(config_)) {
      const size_t bytes = *TensorBytes(spec.shape, 4);
      if (spec.name != untrained) model.trained[spec.name] = {spec.name, "F32", spec.shape, AsBytes(content_).data(), bytes};
    }
    return model;
  }
  BestModelTensors Tensors() {
    return {Trained(),
            Trained("embed_tokens.weight"),
            {"item_emb_tokens", "F32", {1, 1, 4}, AsBytes(content_).data(), 16},
            {"logit_scale", "F32", {}, AsBytes(content_).data(), 4}};
  }
  static HllmInfo Info() {
    HllmInfo info;
    info.max_seq_length = 11;
    info.max_text_length = 48;
    info.item_prompt = "Compress \"this\" ünit: ";
    info.text_keys = {"title", "tag"};
    info.data_hash = "abc";
    info.epoch = 2;
    info.step = 444;
    info.validation_loss = 1.0 / 3;
    info.job_name = "quickstart";
    return info;
  }

  TemporaryFolder folder_;
  DecoderConfig config_;
  ModelWeights original_;
  std::string content_ = std::string(4096, 't');
};

TEST_F(BestModelTest, RoundTrips) {
  const auto written = WriteBestModel(out(), Info(), Tensors());
  ASSERT_TRUE(written.ok()) << written.status();
  const auto model = OpenBestModel(out());
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->info, Info());
  EXPECT_EQ(Bytes(model->item.tensors.at("layers.1.mlp.up_proj.weight")), std::string(96, 't'));
  EXPECT_EQ(Bytes(model->logit_scale), "tttt");
  // What was not trained comes from the original model, as it was stored there (rule M6).
  const TensorInfo& embeddings = model->user.tensors.at("embed_tokens.weight");
  EXPECT_EQ(embeddings.dtype, "BF16");
  EXPECT_EQ(Bytes(embeddings), TensorContent({"embed_tokens.weight", "BF16", {5, 4}}));
  EXPECT_EQ(Bytes(*model->user.lm_head), TensorContent({"lm_head.weight", "BF16", {5, 4}}));
  EXPECT_EQ(model->item_config.stored_dtype, "float32");
  EXPECT_EQ(ReadRaw(out() / "item_llm/tokenizer.model"), "a tokenizer");
  EXPECT_FALSE(std::filesystem::exists(out() / "item_llm/unrelated.txt"));
  EXPECT_EQ(written->info_digest, DigestFile(out() / "hllm.json")->xxh3);
}

TEST_F(BestModelTest, TensorsCarryTransformersNames) {
  ASSERT_TRUE(WriteBestModel(out(), Info(), Tensors()).ok());
  const auto file = SafetensorsFile::Open(out() / "item_llm/model.safetensors");
  ASSERT_TRUE(file.ok());
  EXPECT_EQ((*file)->metadata().at("format"), "pt");
  EXPECT_TRUE((*file)->Find("model.embed_tokens.weight").ok());
  EXPECT_TRUE((*file)->Find("model.norm.weight").ok());
  EXPECT_TRUE((*file)->Find("lm_head.weight").ok());
}

TEST_F(BestModelTest, EveryFileIsWatched) {
  ASSERT_TRUE(WriteBestModel(out(), Info(), Tensors()).ok());
  for (const std::string name :
       {"head.safetensors", "item_llm/config.json", "item_llm/model.safetensors", "user_llm/tokenizer.model"}) {
    const std::string bytes = ReadRaw(out() / name);
    WriteRaw(out() / name, bytes.substr(0, bytes.size() - 1) + "?");
    const auto model = OpenBestModel(out());
    EXPECT_EQ(model.status().code(), absl::StatusCode::kDataLoss) << name;
    EXPECT_THAT(std::string(model.status().message()), HasSubstr(name + ": damaged"));
    WriteRaw(out() / name, bytes);
  }
  EXPECT_TRUE(OpenBestModel(out()).ok());
  std::filesystem::remove(out() / "hllm.json");
  EXPECT_EQ(OpenBestModel(out()).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(BestModelTest, RefusesTensorsOfAnotherModel) {
  HfExport model = Trained();
  model.trained["layers.9.norm"] = {"layers.9.norm", "F32", {4}, AsBytes(content_).data(), 16};
  EXPECT_FALSE(WriteHfModel(out(), model).ok());
  model = Trained();
  model.trained["norm.weight"].shape = {2, 2};
  EXPECT_THAT(std::string(WriteHfModel(out(), model).status().message()), HasSubstr("norm.weight: wrong shape"));
  model = Trained("norm.weight");
  model.original = nullptr;
  EXPECT_THAT(std::string(WriteHfModel(out(), model).status().message()), HasSubstr("without tensor norm.weight"));
}

TEST_F(BestModelTest, RefusesAHeadOfAnotherShape) {
  BestModelTensors tensors = Tensors();
  tensors.item_emb_tokens.shape = {1, 2, 2};
  ASSERT_TRUE(WriteBestModel(out(), Info(), tensors).ok());
  EXPECT_THAT(std::string(OpenBestModel(out()).status().message()),
              HasSubstr("head.safetensors: tensor item_emb_tokens: expected F32 [1, 1, 4], got F32 [1, 2, 2]"));
}

TEST(HllmFile, RefusesWhatIsNone) {
  const auto message = [](const std::string& text) { return std::string(ParseHllmFile(text, "hllm.json").status().message()); };
  EXPECT_THAT(message("{}"), HasSubstr("hllm.json: format_version: missing"));
  EXPECT_THAT(message(R"({"format_version":9})"), HasSubstr("newer than this program"));
  EXPECT_THAT(message("nonsense"), HasSubstr("hllm.json:1:2: not valid JSON"));
}

TEST(ConfigWithDtype, KeepsSpellingAndOrder) {
  EXPECT_EQ(*ConfigWithDtype(R"({"z":1,"torch_dtype":"bfloat16","a":1e-05})", "F32", "c"),
            "{\n  \"z\": 1,\n  \"torch_dtype\": \"float32\",\n  \"a\": 1e-05\n}\n");
  EXPECT_THAT(*ConfigWithDtype(R"({"dtype":"float32"})", "BF16", "c"), HasSubstr("\"dtype\": \"bfloat16\""));
  EXPECT_THAT(*ConfigWithDtype("{}", "F16", "c"), HasSubstr("\"torch_dtype\": \"float16\""));
  EXPECT_FALSE(ConfigWithDtype("[]", "F32", "c").ok());
}

}  // namespace
}  // namespace pixelrec::checkpoint
