// A disk without room: before training, before a checkpoint, in the midst of best_model/.
#include <gmock/gmock.h>

#include <cerrno>
#include <mutex>

#include "absl/strings/match.h"
#include "common/storage/atomic_file.h"
#include "tests/worker/train/small_job.h"
#include "worker/checkpoint/checkpoint_files.h"
#include "worker/train/failure.h"

namespace pixelrec::train {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// The real disk, with as much room as the test says.
class TightDisk : public storage::FileSystem {
 public:
  // Which askings (from 0) find no room; each asks once on every rank.
  TightDisk(int ranks, std::vector<int> full) : ranks_(ranks), full_(std::move(full)) {}

  absl::StatusOr<uint64_t> FreeBytes(const fs::path&) override {
    const std::lock_guard lock(mutex_);
    const int asking = asked_++ / ranks_;
    return std::count(full_.begin(), full_.end(), asking) > 0 ? 100'000 : uint64_t{1} << 40;
  }
  absl::StatusOr<std::unique_ptr<storage::WritableFile>> Create(const fs::path& path, Existing existing) override {
    if (!refuse.empty() && absl::StrContains(path.string(), refuse)) return storage::ErrnoStatus(ENOSPC, "cannot write", path);
    return real_.Create(path, existing);
  }
  absl::Status CreateFolder(const fs::path& path) override { return real_.CreateFolder(path); }
  absl::Status SyncFolder(const fs::path& path) override { return real_.SyncFolder(path); }
  absl::Status Rename(const fs::path& from, const fs::path& to) override { return real_.Rename(from, to); }
  absl::Status RenameNew(const fs::path& from, const fs::path& to) override { return real_.RenameNew(from, to); }
  absl::Status Exchange(const fs::path& a, const fs::path& b) override { return real_.Exchange(a, b); }
  absl::Status RemoveFile(const fs::path& path) override { return real_.RemoveFile(path); }
  absl::Status RemoveTree(const fs::path& path) override { return real_.RemoveTree(path); }
  bool Exists(const fs::path& path) override { return real_.Exists(path); }

  std::string refuse;  // files whose path holds this can't be created: no space

 private:
  storage::FileSystem& real_ = storage::RealFileSystem();
  const int ranks_;
  const std::vector<int> full_;
  std::mutex mutex_;
  int asked_ = 0;
};

class FullDiskTest : public testing::Test {
 protected:
  TestFolder folder_{"full-disk"};
  fs::path dataset_ = PrepareSmallData(folder_.path(), 1500);

  TrainJob Job(TightDisk& disk) const {
    TrainJob job = SmallJob(dataset_, folder_.path() / "out");
    job.item_zero_stage = job.user_zero_stage = 2;
    job.checkpoint_every_steps = 2;
    job.files = &disk;
    return job;
  }
  static std::vector<std::string> Names(const std::vector<ArtifactRecord>& artifacts) {
    std::vector<std::string> names;
    for (const ArtifactRecord& artifact : artifacts) names.push_back(artifact.path.filename());
    return names;
  }
  int FilesIn(const fs::path& folder) const {
    int files = 0;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) files += entry.is_regular_file();
    return files;
  }
};

TEST_F(FullDiskTest, ASaveWithoutRoomIsSkippedOnAllRanksAndTheNextOneTriesAgain) {
  TightDisk disk(2, {2});  // asked at the start, at step 2, at step 4, ...
  const TrainJob job = Job(disk);
  std::vector<RecordingLink> links;
  for (const absl::Status& status : RunGang(job, 2, links)) ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(links[0].steps.size(), links[1].steps.size());
  ASSERT_GE(links[0].steps.size(), 7U) << "the case needs a save before and after the skipped one";
  ASSERT_EQ(links[0].warnings.size(), 1U);
  EXPECT_THAT(links[0].warnings[0], HasSubstr("no checkpoint at step 4: room for 0.1 MiB in " + job.output_dir.string()));
  EXPECT_THAT(links[0].warnings[0], HasSubstr(", a checkpoint needs "));
  EXPECT_THAT(links[1].warnings, IsEmpty());
  const std::vector<std::string> names = Names(links[0].artifacts);
  ASSERT_GE(names.size(), 4U);
  EXPECT_EQ(names[0], "step-2");
  EXPECT_EQ(names[1], "step-6");
  for (const ArtifactRecord& artifact : links[0].artifacts) {
    if (artifact.kind == ArtifactKind::kBestModel) continue;
    EXPECT_TRUE(checkpoint::OpenCheckpoint(artifact.path).ok()) << artifact.path;
  }
  EXPECT_EQ(FilesIn(job.output_dir / ".staging"), 0);
}

TEST_F(FullDiskTest, WithoutRoomForOneCheckpointTrainingDoesNotBegin) {
  TightDisk disk(2, {0});
  std::vector<RecordingLink> links;
  for (const absl::Status& status : RunGang(Job(disk), 2, links)) {
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    const TypedFailure failure = Classify(status);
    EXPECT_EQ(failure.kind, FailureKind::kOutputUnwritable);
    EXPECT_THAT(failure.message, HasSubstr("room for 0.1 MiB in"));
    EXPECT_THAT(failure.hint, HasSubstr("free space on the volume of output_dir"));
  }
  EXPECT_THAT(links[0].steps, IsEmpty());
}

TEST_F(FullDiskTest, AGenerationThatGoesOnWaitsForRoom) {
  TightDisk roomy(1, {}), tight(1, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  TrainJob job = Job(roomy);
  std::vector<RecordingLink> links;
  ASSERT_TRUE(absl::IsCancelled(RunGang(job, 1, links, 3)[0]));
  job.generation = 2;
  job.resume_from = links[0].artifacts.back().path;
  job.files = &tight;
  const absl::Status status = RunGang(job, 1, links)[0];
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(Names(links[0].artifacts), ElementsAre("best_model"));
  EXPECT_GT(links[0].warnings.size(), 1U);
}

TEST_F(FullDiskTest, ABestModelThatCannotBeWrittenEndsNoJob) {
  TightDisk disk(2, {});
  disk.refuse = "best_model-";
  const TrainJob job = Job(disk);
  std::vector<RecordingLink> links;
  for (const absl::Status& status : RunGang(job, 2, links)) ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(links[0].warnings.size(), 1U);
  EXPECT_THAT(links[0].warnings[0], HasSubstr("best_model/ could not be written, the one before stays: cannot write"));
  ASSERT_EQ(links[0].epochs.size(), 1U);
  EXPECT_FALSE(links[0].epochs[0].best);
  EXPECT_FALSE(fs::exists(job.output_dir / "best_model"));
  EXPECT_EQ(FilesIn(job.output_dir / ".staging"), 0);
  EXPECT_TRUE(checkpoint::OpenCheckpoint(job.output_dir / "checkpoint-epoch-1").ok());
}

}  // namespace
}  // namespace pixelrec::train
