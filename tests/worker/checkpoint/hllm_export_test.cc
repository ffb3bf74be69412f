#include "worker/checkpoint/hllm_export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/storage/atomic_file.h"
#include "tests/worker/checkpoint/tiny_model.h"
#include "worker/checkpoint/best_model.h"
#include "worker/checkpoint/inspection.h"
#include "worker/checkpoint/torch_file/torch_writer.h"

namespace pixelrec::checkpoint {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Pair;

const std::filesystem::path kFixtures = PIXELREC_SOURCE_DIR "/tests/worker/checkpoint/fixtures";

class HllmExportTest : public ::testing::Test {
 protected:
  std::filesystem::path path(const std::string& name) const { return folder_.path() / name; }

  // Exports `source` the way the command does. -> the notices.
  absl::StatusOr<std::vector<std::string>> Export(const std::filesystem::path& source, ExportOptions options,
                                                  const std::string& out, bool force = false) {
    auto weights = OpenHllmWeights(source);
    if (!weights.ok()) return weights.status();
    auto staging = StageExport(path(out), force);
    if (!staging.ok()) return staging.status();
    auto notices = WriteExport(*staging, *weights, WithKnownModels(options, source));
    if (auto status = FinishExport(*staging, path(out), notices.status()); !status.ok()) return status;
    return notices;
  }

  void ExpectSameTensors(const std::filesystem::path& actual, const std::filesystem::path& expected) {
    const auto a = OpenHllmWeights(actual), b = OpenHllmWeights(expected);
    ASSERT_TRUE(a.ok()) << a.status();
    ASSERT_TRUE(b.ok()) << b.status();
    EXPECT_EQ(a->tensors.size(), b->tensors.size());
    for (const auto& [name, tensor] : b->tensors) {
      ASSERT_THAT(a->tensors, Contains(Key(name)));
      EXPECT_EQ(a->tensors.at(name).shape, tensor.shape) << name;
      EXPECT_EQ(a->tensors.at(name).dtype, tensor.dtype) << name;
      EXPECT_EQ(Bytes(a->tensors.at(name)), Bytes(tensor)) << name;
    }
  }

  TemporaryFolder folder_;
};

TEST_F(HllmExportTest, WritesTheReferencesFileOfEverySource) {
  for (const char* source : {"zero2", "zero3", "released"}) {
    for (const auto format : {ExportFormat::kReferenceBin, ExportFormat::kReferenceSafetensors}) {
      const auto notices = Export(kFixtures / source, {.format = format}, "out", /*force=*/true);
      ASSERT_TRUE(notices.ok()) << notices.status();
      EXPECT_THAT(*notices, IsEmpty());
      ExpectSameTensors(path("out"), kFixtures / source);
    }
  }
}

TEST_F(HllmExportTest, UsesTheReferencesNamesRuleF1) {
  ASSERT_TRUE(Export(kFixtures / "zero2", {.format = ExportFormat::kReferenceBin}, "out").ok());
  const auto file = TensorFile::Open(path("out/pytorch_model.bin"));
  ASSERT_TRUE(file.ok()) << file.status();
  const auto expected = SafetensorsFile::Open(kFixtures / "zero2.safetensors");
  for (const auto& [name, tensor] : (*expected)->tensors()) EXPECT_THAT((*file)->tensors(), Contains(Key(name)));
}

// A checkpoint keeps only what is trained (rule M6).
TEST_F(HllmExportTest, FillsUntrainedTensorsFromTheModelDirectories) {
  std::vector<TensorSpec> trained;
  for (const std::string side : {"item_llm.", "user_llm."}) {
    for (const TensorSpec& spec : TinyTensors(side)) {
      if (spec.name != "user_llm.embed_tokens.weight") trained.push_back(spec);
    }
  }
  trained.push_back({"item_emb_tokens", "F32", {1, 1, 4}});
  trained.push_back({"logit_scale", "F32", {}});
  WriteTensors(path("trained.safetensors"), trained);

  auto notices = Export(path("trained.safetensors"), {.format = ExportFormat::kReferenceSafetensors}, "alone");
  ASSERT_TRUE(notices.ok()) << notices.status();
  EXPECT_THAT(*notices, ElementsAre(HasSubstr("neither the source nor a model directory has it: item_llm.lm_head.weight, "
                                              "user_llm.lm_head.weight, user_llm.model.embed_tokens.weight")));

  notices = Export(path("trained.safetensors"),
                   {.format = ExportFormat::kReferenceSafetensors,
                    .item_model_dir = kFixtures / "single_bin",
                    .user_model_dir = kFixtures / "sharded_bin"},
                   "filled");
  ASSERT_TRUE(notices.ok()) << notices.status();
  EXPECT_THAT(*notices, IsEmpty());
  const auto filled = *SafetensorsFile::Open(path("filled/model.safetensors"));
  const auto base = *SafetensorsFile::Open(kFixtures / "single_bin/reference.safetensors");
  EXPECT_EQ(Bytes(*filled->Find("user_llm.model.embed_tokens.weight")), Bytes(*base->Find("model.embed_tokens.weight")));
  EXPECT_EQ(Bytes(*filled->Find("item_llm.lm_head.weight")), Bytes(*base->Find("lm_head.weight")));
  EXPECT_EQ(Bytes(*filled->Find("item_llm.model.norm.weight")), TensorContent({"item_llm.norm.weight", "F32", {4}}));
}

TEST_F(HllmExportTest, WritesTwoModelDirectoriesAndTheHead) {
  EXPECT_THAT(std::string(Export(kFixtures / "zero2", {}, "out").status().message()),
              HasSubstr("holds no config.json and no tokenizer; say which models it was trained from: --item-model-dir DIR"));
  EXPECT_FALSE(std::filesystem::exists(path("out")));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 0) << "leaves nothing behind";

  const ExportOptions options{.item_model_dir = kFixtures / "single_bin", .user_model_dir = kFixtures / "sharded_bin"};
  ASSERT_TRUE(Export(kFixtures / "zero2", options, "out").ok());
  const auto source = *OpenHllmWeights(kFixtures / "zero2");
  for (const std::string side : {"item_llm", "user_llm"}) {
    const auto config = ReadDecoderConfig(path("out") / side);
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->stored_dtype, "float32");
    const auto weights = OpenModelWeights(path("out") / side, *config);
    ASSERT_TRUE(weights.ok()) << weights.status();
    for (const auto& [name, tensor] : weights->tensors)
      EXPECT_EQ(Bytes(tensor), Bytes(source.tensors.at(side + "." + name))) << name;
    EXPECT_EQ(Bytes(*weights->lm_head), Bytes(source.tensors.at(side + ".lm_head.weight")));
  }
  const auto head = *SafetensorsFile::Open(path("out/head.safetensors"));
  EXPECT_EQ(Bytes(*head->Find("logit_scale")), Bytes(source.tensors.at("logit_scale")));
  const auto text = *storage::ReadFile(path("out/export.json"));
  EXPECT_THAT(text, HasSubstr("\"source_kind\": \"DeepSpeed ZeRO stage 2 checkpoint of 2 ranks\""));
  EXPECT_THAT(text, HasSubstr("\"item_llm/model.safetensors\""));
}

TEST_F(HllmExportTest, KnowsTheModelsOfItsOwnFoldersOnly) {
  for (const char* file : {"out/best_model/hllm.json", "out/checkpoint-epoch-1/manifest.json",
                           "out/recovery/step-5/manifest.json", "out/other.bin"}) {
    std::filesystem::create_directories(path(file).parent_path());
    WriteRaw(path(file), "{}");
  }
  for (const char* own : {"out/best_model", "out/checkpoint-epoch-1", "out/recovery/step-5", "out/recovery/../best_model"}) {
    const ExportOptions known = WithKnownModels({.user_model_dir = "given"}, path(own));
    EXPECT_EQ(known.item_model_dir, std::filesystem::canonical(path("out/best_model")) / "item_llm") << own;
    EXPECT_EQ(known.user_model_dir, "given");
  }
  for (const char* other : {"out/other.bin", "out", "out/nothing"})
    EXPECT_EQ(WithKnownModels({}, path(other)).item_model_dir, "") << other;
}

// What comes out goes in again: as a source of weights, with its own model directories.
TEST_F(HllmExportTest, AnExportInHuggingFaceFormatIsASource) {
  const ExportOptions options{.item_model_dir = kFixtures / "single_bin", .user_model_dir = kFixtures / "sharded_bin"};
  ASSERT_TRUE(Export(kFixtures / "zero2", options, "first").ok());
  const auto inspected = Inspect(path("first"));
  ASSERT_TRUE(inspected.ok()) << inspected.status();
  EXPECT_EQ(inspected->kind, "two Hugging Face model directories and a head");
  ASSERT_TRUE(Export(path("first"), {}, "second").ok());
  ExpectSameTensors(path("second"), path("first"));
  ASSERT_TRUE(Export(path("first"), {.format = ExportFormat::kReferenceBin}, "flat").ok());
  ExpectSameTensors(path("flat"), kFixtures / "zero2");
}

// Other families than Llama: one fused projection, an encoder as item LLM, untied heads.
TEST_F(HllmExportTest, BaichuanAndBertUnderTheReferencesNamesRuleF1) {
  const std::filesystem::path models = PIXELREC_SOURCE_DIR "/tests/golden/architectures";
  std::vector<TensorSpec> trained;
  for (const auto& [side, family] : {std::pair("item_llm.", "bert"), std::pair("user_llm.", "baichuan")}) {
    const auto config = ReadDecoderConfig(models / family);
    ASSERT_TRUE(config.ok()) << config.status();
    for (TensorSpec spec : DecoderTensors(*config)) {
      if (std::string(side) == "user_llm." && spec.name == "embed_tokens.weight") continue;
      spec.name = side + spec.name;
      spec.dtype = "F32";
      trained.push_back(spec);
    }
  }
  const int64_t hidden = ReadDecoderConfig(models / "baichuan")->hidden_size;
  trained.push_back({"item_emb_tokens", "F32", {1, 0, hidden}});
  trained.push_back({"logit_scale", "F32", {}});
  WriteTensors(path("trained.safetensors"), trained);
  const ExportOptions options{.item_model_dir = models / "bert", .user_model_dir = models / "baichuan"};
  for (const auto format : {ExportFormat::kReferenceBin, ExportFormat::kReferenceSafetensors, ExportFormat::kHuggingFace}) {
    ExportOptions with_format = options;
    with_format.format = format;
    const std::string out = "out" + std::to_string(static_cast<int>(format));
    const auto notices = Export(path("trained.safetensors"), with_format, out);
    ASSERT_TRUE(notices.ok()) << notices.status();
    const auto again = OpenHllmWeights(path(out));
    ASSERT_TRUE(again.ok()) << again.status();
    for (const TensorSpec& spec : trained) {
      ASSERT_THAT(again->tensors, Contains(Key(spec.name))) << out;
      EXPECT_EQ(Bytes(again->tensors.at(spec.name)), TensorContent(spec)) << spec.name;
    }
    EXPECT_THAT(again->tensors, Contains(Key("user_llm.embed_tokens.weight")));
  }
  const auto file = *TensorFile::Open(path("out2/pytorch_model.bin"));
  EXPECT_THAT(file->tensors(), Contains(Key("user_llm.model.layers.0.self_attn.W_pack.weight")));
  EXPECT_THAT(file->tensors(), Contains(Key("item_llm.encoder.layer.0.attention.self.query.weight")));
}

TEST_F(HllmExportTest, ReplacesNothingButAnEarlierExport) {
  const ExportOptions options{.format = ExportFormat::kReferenceBin};
  std::filesystem::create_directories(path("empty"));
  EXPECT_TRUE(Export(kFixtures / "zero2", options, "empty").ok());
  const auto again = Export(kFixtures / "zero2", options, "empty");
  EXPECT_TRUE(absl::IsAlreadyExists(again.status()));
  EXPECT_THAT(std::string(again.status().message()), HasSubstr("holds an earlier export; give --force to replace it"));
  EXPECT_TRUE(Export(kFixtures / "zero3", options, "empty", /*force=*/true).ok());
  ExpectSameTensors(path("empty"), kFixtures / "zero3");

  std::filesystem::create_directories(path("precious"));
  WriteRaw(path("precious/thesis.txt"), "x");
  EXPECT_THAT(std::string(Export(kFixtures / "zero2", options, "precious", /*force=*/true).status().message()),
              HasSubstr("exists and is no earlier export"));
  EXPECT_TRUE(std::filesystem::exists(path("precious/thesis.txt")));
}

TEST_F(HllmExportTest, RefusesATypeThatTorchHasNoStorageFor) {
  const TorchTensor tensor{.dtype = "U16", .shape = {1}, .data = AsBytes("xx").data(), .bytes = 2};
  EXPECT_THAT(std::string(WriteTorchFile(path("x.bin"), {{"w", tensor}}).message()),
              HasSubstr("tensor w: torch has no storage of type U16"));
  EXPECT_FALSE(std::filesystem::exists(path("x.bin")));
  EXPECT_TRUE(absl::IsNotFound(WriteTorchFile(path("no/folder/x.bin"), {})));
}

TEST_F(HllmExportTest, WritesWhatItsOwnReaderReads) {
  const std::string content = "0123456789abcdef";
  const TorchTensor matrix{.dtype = "F32", .shape = {2, 2}, .data = AsBytes(content).data(), .bytes = 16};
  const TorchTensor empty{.dtype = "BF16", .shape = {0, 300}, .data = nullptr, .bytes = 0};
  const std::vector<std::pair<std::string, TorchTensor>> tensors = {{"matrix", matrix}, {"tied", matrix}, {"empty", empty}};
  ASSERT_TRUE(WriteTorchFile(path("x.bin"), tensors).ok());
  auto file = TorchFile::Open(path("x.bin"));
  ASSERT_TRUE(file.ok()) << file.status();
  const auto state = *(*file)->Tensors((*file)->pickle().root());
  EXPECT_EQ(state.tensors.size(), 3u);
  EXPECT_EQ(state.tensors.at("matrix").data, state.tensors.at("tied").data);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(state.tensors.at("matrix").data) % 64, 0u);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(state.tensors.at("matrix").data), 16), content);
  EXPECT_THAT(state.tensors.at("empty").shape, ElementsAre(0, 300));
}

TEST(InspectTest, SaysWhatIsThere) {
  const auto deepspeed = Inspect(kFixtures / "zero3");
  ASSERT_TRUE(deepspeed.ok()) << deepspeed.status();
  EXPECT_EQ(deepspeed->kind, "DeepSpeed ZeRO stage 3 checkpoint of 3 ranks");
  EXPECT_THAT(deepspeed->facts, ElementsAre(Pair("step", "1")));
  EXPECT_EQ(deepspeed->parts.at("item_llm.layers").tensors, 18);
  EXPECT_EQ(deepspeed->parts.at("item_llm.layers").parameters, 256);
  EXPECT_THAT(deepspeed->parts.at("item_llm.layers").dtypes, ElementsAre("BF16"));
  EXPECT_THAT(deepspeed->parts.at("user_llm.layers").dtypes, ElementsAre("F32"));

  const auto quickstart = Inspect(PIXELREC_SOURCE_DIR "/deploy/quickstart/stories260k");
  ASSERT_TRUE(quickstart.ok()) << quickstart.status();
  EXPECT_EQ(quickstart->kind, "model directory (llama, safetensors)");
  EXPECT_THAT(quickstart->facts, Contains(Pair("architecture", HasSubstr("5 layers, hidden 64"))));
  EXPECT_THAT(quickstart->tokenizer_files, Contains("tokenizer.model"));

  const auto file = Inspect(kFixtures / "state_dict.bin");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->kind, "file of tensors (torch)");
  EXPECT_EQ(file->parts.size(), 16u);
  EXPECT_THAT(file->ignored, Contains(Key("complex")));
}

TEST_F(HllmExportTest, InspectNamesDamage) {
  std::filesystem::copy(kFixtures / "zero2", path("broken"), std::filesystem::copy_options::recursive);
  const auto states = path("broken/checkpoint/mp_rank_00_model_states.pt");
  std::filesystem::resize_file(states, std::filesystem::file_size(states) / 2);
  EXPECT_THAT(std::string(Inspect(path("broken")).status().message()), HasSubstr("mp_rank_00_model_states.pt: truncated"));
  EXPECT_TRUE(absl::IsNotFound(Inspect(path("nothing")).status()));
}

}  // namespace
}  // namespace pixelrec::checkpoint
