// The checkpoint to go on from, damaged in every way: found before anything is loaded, on all ranks alike, and told by type.
#include "worker/train/committed_checkpoint.h"

#include <gmock/gmock.h>

#include <iterator>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "tests/worker/dist/on_ranks.h"
#include "tests/worker/train/small_job.h"
#include "worker/checkpoint/digest.h"
#include "worker/checkpoint/manifest.h"
#include "worker/train/failure.h"

namespace pixelrec::train {
namespace {

using testing::HasSubstr;

std::string Read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void Write(const fs::path& path, const std::string& content) { std::ofstream(path, std::ios::binary) << content; }

class CommittedCheckpointTest : public testing::Test {
 protected:
  CommittedCheckpointTest() {
    job_ = SmallJob(dataset_, folder_.path() / "out");
    job_.item_zero_stage = job_.user_zero_stage = 2;
    std::vector<RecordingLink> links;
    EXPECT_TRUE(absl::IsCancelled(RunGang(job_, 2, links, 2)[0]));
    const ArtifactRecord written = links[0].artifacts.back();
    job_.generation = 2;
    job_.resume_from = written.path;
    job_.resume_digest = written.manifest_digest;
  }
  fs::path File(const std::string& name) const { return job_.resume_from / name; }
  void FlipBit(const std::string& name, size_t byte) const {
    std::string content = Read(File(name));
    content.at(byte) = static_cast<char>(content.at(byte) ^ 4);
    Write(File(name), content);
  }
  // What all ranks say.
  TypedFailure Resume() const {
    std::vector<RecordingLink> links;
    const std::vector<absl::Status> statuses = RunGang(job_, 2, links);
    for (const RecordingLink& link : links) EXPECT_EQ(link.started_at, -1);
    EXPECT_EQ(statuses[0], statuses[1]);
    EXPECT_FALSE(statuses[0].ok());
    return Classify(statuses[0]);
  }
  void ExpectDamaged(const std::string& what) const {
    const TypedFailure failure = Resume();
    EXPECT_EQ(failure.kind, FailureKind::kCheckpointDamaged) << failure.message;
    EXPECT_THAT(failure.message, HasSubstr("checkpoint " + job_.resume_from.string() + ": rank 0: "));
    EXPECT_THAT(failure.message, HasSubstr(what));
  }

  TestFolder folder_{"committed"};
  fs::path dataset_ = PrepareSmallData(folder_.path(), 400);
  TrainJob job_;
};

constexpr char kModel1[] = "model-00001-of-00002.safetensors", kModel2[] = "model-00002-of-00002.safetensors";
constexpr char kOptimizer2[] = "optimizer-00002-of-00002.safetensors";

TEST_F(CommittedCheckpointTest, AFlippedBitOfDataOrHeader) {
  for (const size_t byte : {size_t{20}, fs::file_size(File(kModel2)) - 5}) {
    FlipBit(kModel2, byte);
    ExpectDamaged("model-00002-of-00002.safetensors: damaged: its xxh3 is");
    FlipBit(kModel2, byte);
  }
}

// As where output_dir is a folder of its own on each host: nothing is given up, the user is told.
TEST_F(CommittedCheckpointTest, AFolderThatOnlySomeRanksSee) {
  dist::OnRanks(2, [this](const dist::ProcessGroup& group) {
    Session session;
    session.job = job_;
    session.group = group;
    if (group.rank() == 1) session.job.resume_from += "-of-another-host";
    const TypedFailure failure = Classify(OpenCommittedCheckpoint(session).status());
    EXPECT_EQ(failure.kind, FailureKind::kOutputUnwritable);
    EXPECT_THAT(failure.message, HasSubstr("rank 1 doesn't find "));
    EXPECT_THAT(failure.message, HasSubstr("rank 0 does: output_dir is not one folder on all workers"));
  });
  EXPECT_TRUE(fs::exists(job_.resume_from));
}

TEST_F(CommittedCheckpointTest, ATruncatedOrGrownShard) {
  fs::resize_file(File(kOptimizer2), fs::file_size(File(kOptimizer2)) - 1);
  ExpectDamaged("optimizer-00002-of-00002.safetensors: truncated");
  fs::resize_file(File(kOptimizer2), fs::file_size(File(kOptimizer2)) + 2);
  ExpectDamaged("optimizer-00002-of-00002.safetensors: damaged: it has");
}

TEST_F(CommittedCheckpointTest, AMissingShardOrManifestOrFolder) {
  fs::rename(File(kModel1), folder_.path() / "elsewhere");
  ExpectDamaged("model-00001-of-00002.safetensors: No such file");
  fs::rename(folder_.path() / "elsewhere", File(kModel1));
  fs::remove(File("manifest.json"));
  ExpectDamaged("manifest.json: No such file");
  fs::remove_all(job_.resume_from);
  ExpectDamaged("No such file");
}

TEST_F(CommittedCheckpointTest, ShardsOfTwoRanksSwapped) {
  fs::rename(File(kModel1), File("t"));
  fs::rename(File(kModel2), File(kModel1));
  fs::rename(File("t"), File(kModel2));
  ExpectDamaged("model-00001-of-00002.safetensors: ");
}

TEST_F(CommittedCheckpointTest, ADamagedManifest) {
  FlipBit("manifest.json", 40);
  ExpectDamaged("manifest.json");
}

// Whole in itself, but not what was committed under this name.
TEST_F(CommittedCheckpointTest, AnotherCheckpointInItsPlace) {
  auto manifest = checkpoint::ReadManifest(job_.resume_from);
  ASSERT_TRUE(manifest.ok());
  manifest->tokens += 1;
  ASSERT_TRUE(checkpoint::WriteManifest(job_.resume_from, *manifest).ok());
  ExpectDamaged(absl::StrCat(job_.resume_digest, " was committed"));
}

TEST_F(CommittedCheckpointTest, ANewerFormatIsTheUsersToSolve) {
  nlohmann::json manifest = nlohmann::json::parse(Read(File("manifest.json")));
  manifest["format_version"] = 2;
  Write(File("manifest.json"), manifest.dump());
  const TypedFailure failure = Resume();
  EXPECT_EQ(failure.kind, FailureKind::kBadData);
  EXPECT_THAT(failure.message, HasSubstr("format_version 2 is newer than this program"));
  EXPECT_THAT(failure.hint, HasSubstr("run the program version that wrote it"));
}

TEST_F(CommittedCheckpointTest, AnotherDataHashOrModelIsRefusedByName) {
  auto manifest = checkpoint::ReadManifest(job_.resume_from);
  ASSERT_TRUE(manifest.ok());
  manifest->data_hash = "another";
  manifest->user_config_digest = "other-model";
  const auto digest = checkpoint::WriteManifest(job_.resume_from, *manifest);
  ASSERT_TRUE(digest.ok());
  job_.resume_digest = digest->xxh3;
  const TypedFailure failure = Resume();
  EXPECT_EQ(failure.kind, FailureKind::kBadData);
  EXPECT_THAT(failure.message, HasSubstr("data_hash: the checkpoint has another, this job "));
  EXPECT_THAT(failure.message, HasSubstr("user model's config: the checkpoint has other-model"));
  EXPECT_THAT(failure.hint, HasSubstr("output_policy: replace"));
}

}  // namespace
}  // namespace pixelrec::train
