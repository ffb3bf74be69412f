// Checkpoints: round trip, and every kind of damage found and named.
#include "worker/checkpoint/checkpoint_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "tests/worker/checkpoint/tiny_model.h"

namespace pixelrec::checkpoint {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Manifest SomeManifest(int64_t step = 10) {
  Manifest manifest;
  manifest.job_name = "quickstart";
  manifest.job_id = "job-1";
  manifest.program_version = "0.1.0";
  manifest.world_size = 2;
  manifest.generation = 3;
  manifest.epoch = 1;
  manifest.step = step;
  manifest.step_in_epoch = 2;
  manifest.updates = step - 1;
  manifest.seed = 18446744073709551615u;
  manifest.global_batch_size = 32;
  manifest.total_steps = 100;
  manifest.data_hash = "d1";
  manifest.item_config_digest = "i1";
  manifest.user_config_digest = "u1";
  manifest.sample_digest = "s1";
  manifest.best_validation_loss = 4.0 / 3;
  manifest.epoch_loss_sum = 0.1 + 0.2;
  manifest.epoch_loss_rows = 640;
  manifest.samples = 320;
  manifest.tokens = 123456789012;
  manifest.settings = {{"spec.model.freeze", "item_llm"}, {"spec.compat.no_clipping", "false"}};
  manifest.epochs = {{.epoch = 1,
                      .step = 8,
                      .train_loss = 5.0 / 3,
                      .validation_loss = std::nullopt,
                      .best = false,
                      .seconds = 1.5,
                      .validation = {{.k = 10, .recall = 0.1, .ndcg = 1.0 / 3}},
                      .users = 7,
                      .masked_targets = 1,
                      .tied_targets = 2}};
  manifest.unread_decay = {{"user_llm.lm_head.weight", 0.99}};
  return manifest;
}

TensorPiece Whole(const TensorInfo& info) { return {info, 0, info.shape}; }

absl::StatusOr<WrittenCheckpoint> WriteCheckpoint(const std::filesystem::path& dir, Manifest manifest,
                                                  const std::vector<TensorInfo>& model,
                                                  const std::vector<TensorInfo>& optimizer) {
  std::vector<TensorPiece> pieces[2];
  for (const TensorInfo& info : model) pieces[0].push_back(Whole(info));
  for (const TensorInfo& info : optimizer) pieces[1].push_back(Whole(info));
  auto files = WriteShard(dir, {}, pieces[0], pieces[1]);
  if (!files.ok()) return files.status();
  manifest.files = *std::move(files);
  return FinishCheckpoint(dir, std::move(manifest));
}

class CheckpointTest : public ::testing::Test {
 protected:
  const std::filesystem::path& output() const { return folder_.path(); }
  WrittenCheckpoint Write(const std::string& name, const Manifest& manifest) {
    const std::vector<TensorInfo> model = {{"item_emb_tokens", "F32", {1, 1, 4}, AsBytes(weights_).data(), 16},
                                           {"logit_scale", "F32", {}, AsBytes(weights_).data(), 4}};
    const std::vector<TensorInfo> optimizer = {{"exp_avg.logit_scale", "F32", {}, AsBytes(weights_).data(), 4},
                                               {"exp_avg_sq.logit_scale", "F32", {}, AsBytes(weights_).data(), 4}};
    auto written = WriteCheckpoint(output() / name, manifest, model, optimizer);
    EXPECT_TRUE(written.ok()) << written.status();
    return *written;
  }
  void FlipBit(const std::filesystem::path& path, size_t byte) {
    std::string bytes = ReadRaw(path);
    bytes.at(byte) = static_cast<char>(bytes.at(byte) ^ 1);
    WriteRaw(path, bytes);
  }

 private:
  TemporaryFolder folder_;
  std::string weights_ = "0123456789abcdef";
};

TEST_F(CheckpointTest, RoundTrips) {
  const WrittenCheckpoint written = Write("c", SomeManifest());
  const auto opened = OpenCheckpoint(output() / "c");
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->manifest, written.manifest);
  Manifest expected = SomeManifest();
  expected.files = written.manifest.files;
  EXPECT_EQ(opened->manifest, expected);  // also the doubles, to the last bit
  EXPECT_EQ(opened->model->Find("item_emb_tokens")->bytes, 16u);
  EXPECT_EQ(opened->optimizer->names().size(), 2u);
  EXPECT_EQ(written.manifest_digest, DigestFile(output() / "c" / "manifest.json")->xxh3);
  uint64_t bytes = 0;
  for (const auto& file : std::filesystem::directory_iterator(output() / "c")) bytes += file.file_size();
  EXPECT_EQ(written.bytes, bytes);
}

TEST_F(CheckpointTest, RefusesLossesThatAreNoNumbers) {
  Manifest manifest = SomeManifest();
  manifest.epoch_loss_sum = std::numeric_limits<double>::quiet_NaN();
  EXPECT_FALSE(FormatManifest(manifest).ok());
}

// With the digest that fits it.
std::string Sealed(nlohmann::json document) {
  document.erase("manifest_xxh3");
  const std::string compact = document.dump();
  Digest digest;
  digest.Add(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(compact.data()), compact.size()));
  document["manifest_xxh3"] = digest.Finish().xxh3;
  return document.dump();
}

// Manifests of before settings, epochs and unread_decay were recorded have the same format_version.
TEST(Manifest, ReadsOnesWithoutTheLaterFacts) {
  nlohmann::json document = nlohmann::json::parse(*FormatManifest(SomeManifest()));
  for (const char* later : {"settings", "epochs", "unread_decay"}) document.erase(later);
  const auto old = ParseManifest(Sealed(std::move(document)), "manifest.json");
  ASSERT_TRUE(old.ok()) << old.status();
  EXPECT_TRUE(old->settings.empty());
  EXPECT_TRUE(old->epochs.empty());
  EXPECT_TRUE(old->unread_decay.empty());
  Manifest now = *old;
  now.settings = {{"spec.model.freeze", "item_llm"}};
  EXPECT_TRUE(CheckContinues(*old, now).ok());  // what it doesn't say isn't compared
}

TEST(Manifest, RefusesLaterFactsOfAnotherShape) {
  const std::string good = *FormatManifest(SomeManifest());
  const auto error = [&](const std::string& from, const std::string& to) {
    nlohmann::json document = nlohmann::json::parse(good);
    document.merge_patch(nlohmann::json::parse(to));
    const absl::Status status = ParseManifest(Sealed(std::move(document)), "m.json").status();
    EXPECT_THAT(std::string(status.message()), HasSubstr("m.json: " + from)) << to;
  };
  error("settings: must be an object", R"({"settings": 3})");
  error("settings: spec.model.freeze: must be a string", R"({"settings": {"spec.model.freeze": 1}})");
  error("unread_decay: must be an object", R"({"unread_decay": []})");
  error("unread_decay: x: must be a number", R"({"unread_decay": {"x": "1"}})");
  error("epochs: must be an array", R"({"epochs": {}})");
  error("epochs: must be a JSON object", R"({"epochs": [1]})");
  error("epochs: epoch: must be a whole number", R"({"epochs": [{"epoch": 0}]})");
  const std::string epoch =
      R"({"epoch": 1, "step": 1, "best": true, "seconds": 1, "users": 0, "masked_targets": 0, "tied_targets": 0})";
  error("epochs: must ascend", R"({"epochs": [)" + epoch + "," + epoch + "]}");
}

TEST_F(CheckpointTest, FlippedBitsAreFoundAndNamed) {
  Write("c", SomeManifest());
  for (const std::string name : {"model.safetensors", "optimizer.safetensors"}) {
    const auto path = output() / "c" / name;
    const size_t size = std::filesystem::file_size(path);
    for (size_t byte = 0; byte < size; byte += 11) {
      FlipBit(path, byte);
      ASSERT_THAT(std::string(OpenCheckpoint(output() / "c").status().message()), HasSubstr(name + ": damaged")) << byte;
      FlipBit(path, byte);
    }
  }
  EXPECT_TRUE(OpenCheckpoint(output() / "c").ok());
}

TEST(Manifest, NoFlippedByteChangesWhatItSays) {
  Manifest manifest = SomeManifest();
  manifest.files["model.safetensors"] = FileDigest{77, "0123"};
  const std::string good = *FormatManifest(manifest);
  for (size_t byte = 0; byte < good.size(); ++byte) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = good;
      flipped[byte] = static_cast<char>(flipped[byte] ^ (1 << bit));
      const auto parsed = ParseManifest(flipped, "manifest.json");
      // Only what has no meaning may pass: one kind of blank for another.
      if (parsed.ok()) {
        ASSERT_EQ(*parsed, manifest) << byte;
      }
    }
  }
}

TEST_F(CheckpointTest, TornAndMissingFilesAreNamed) {
  Write("c", SomeManifest());
  const auto model = output() / "c" / "model.safetensors";
  std::filesystem::resize_file(model, std::filesystem::file_size(model) - 1);
  EXPECT_THAT(std::string(OpenCheckpoint(output() / "c").status().message()), HasSubstr("model.safetensors: truncated: it has"));
  std::filesystem::resize_file(model, std::filesystem::file_size(model) + 2);
  EXPECT_THAT(std::string(OpenCheckpoint(output() / "c").status().message()), HasSubstr("model.safetensors: damaged: it has"));
  std::filesystem::remove(model);
  EXPECT_EQ(OpenCheckpoint(output() / "c").status().code(), absl::StatusCode::kNotFound);
  std::filesystem::remove(output() / "c" / "manifest.json");
  EXPECT_EQ(OpenCheckpoint(output() / "c").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(CheckpointTest, AFailedRewriteLeavesNoManifestBehind) {
  Write("c", SomeManifest());
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const std::string big(1 << 16, 'x');
  const std::vector<TensorInfo> model = {{"big", "U8", {1 << 16}, AsBytes(big).data(), big.size()}};
  const rlimit small{4096, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto written = WriteCheckpoint(output() / "c", SomeManifest(), model, {});
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_THAT(std::string(written.status().message()), HasSubstr("cannot write"));
  EXPECT_FALSE(std::filesystem::exists(output() / "c" / "manifest.json"));
  EXPECT_FALSE(std::filesystem::exists(output() / "c" / "model.safetensors"));
}

TEST_F(CheckpointTest, TheNewestValidOneIsFoundAndDamagedOnesAreNamed) {
  EXPECT_FALSE(FindNewestCheckpoint(output() / "absent")->newest.has_value());
  Write("checkpoint-epoch-1", SomeManifest(10));
  Write("checkpoint-epoch-2", SomeManifest(20));
  Write("recovery/step-25", SomeManifest(25));
  Write("recovery/step-30", SomeManifest(30));
  Write("checkpoint-epoch-7.old", SomeManifest(70));  // not a name of ours
  Write(".staging/checkpoint-epoch-9", SomeManifest(90));
  std::filesystem::create_directories(output() / "checkpoint-epoch-3");
  FlipBit(output() / "recovery/step-30/optimizer.safetensors", 90);

  const auto search = FindNewestCheckpoint(output());
  ASSERT_TRUE(search.ok()) << search.status();
  ASSERT_TRUE(search->newest.has_value());
  EXPECT_EQ(search->newest->path, output() / "recovery/step-25");
  EXPECT_EQ(search->newest->manifest.step, 25);
  EXPECT_THAT(search->skipped,
              ElementsAre(HasSubstr("checkpoint-epoch-3: cannot read"), HasSubstr("step-30/optimizer.safetensors: damaged")));
}

TEST_F(CheckpointTest, OfTwoWithOneStepTheLaterGenerationCounts) {
  Manifest later = SomeManifest(20);
  later.generation = 4;
  Write("checkpoint-epoch-2", SomeManifest(20));
  Write("recovery/step-20", later);
  EXPECT_EQ(FindNewestCheckpoint(output())->newest->manifest.generation, 4u);
}

TEST(Manifest, RefusesWhatIsNone) {
  const auto message = [](const std::string& text) {
    return std::string(ParseManifest(text, "manifest.json").status().message());
  };
  const std::string good = *FormatManifest(SomeManifest());
  EXPECT_THAT(message("[]"), HasSubstr("manifest.json: must be a JSON object"));
  EXPECT_THAT(message("{}"), HasSubstr("manifest.json: format_version: missing"));
  EXPECT_THAT(message(R"({"format_version":2})"), HasSubstr("format_version 2 is newer than this program"));
  EXPECT_THAT(message(R"({"format_version":1})"), HasSubstr("manifest_xxh3: missing"));
  EXPECT_THAT(message(R"({"format_version":1,"manifest_xxh3":"0"})"), HasSubstr("damaged: it doesn't fit its own manifest_xxh3"));
  EXPECT_TRUE(ParseManifest(good, "manifest.json").ok());
}

TEST(Manifest, NeverLeadsOutOfItsFolder) {
  for (const std::string name : {"../x", "/etc/passwd", "a/b/c", "a//b", ".hidden", "a/..", ""}) {
    Manifest manifest = SomeManifest();
    manifest.files[name] = FileDigest{1, "00"};
    EXPECT_THAT(std::string(ParseManifest(*FormatManifest(manifest), "manifest.json").status().message()),
                HasSubstr("not a plain file name"))
        << name;
  }
}

TEST(CheckContinues, NamesEveryDifference) {
  Manifest now = SomeManifest();
  now.world_size = 7;
  now.generation = 9;
  EXPECT_TRUE(CheckContinues(SomeManifest(), now).ok());
  now.seed = 5;
  now.data_hash = "d2";
  const absl::Status status = CheckContinues(SomeManifest(), now);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("data_hash: the checkpoint has d1, this job d2; seed: the checkpoint has 184"));
}

}  // namespace
}  // namespace pixelrec::checkpoint
