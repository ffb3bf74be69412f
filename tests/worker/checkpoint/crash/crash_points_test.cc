// Every operation of a job's saves fails in every way, and what is left on the disk is held against what was committed.
//
// A part runs always; all of it with PIXELREC_LONG_TESTS=1 (make test-long). The counts are printed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/storage/atomic_file.h"
#include "tests/worker/checkpoint/crash/saving_job.h"

namespace pixelrec::checkpoint {
namespace {

namespace fs = std::filesystem;
using storage::Fault;
using storage::FaultFileSystem;

constexpr char kOutput[] = "/disk/out";
constexpr int kSaves = 7;  // two epochs: checkpoints that are kept, some that are reaped, a best_model/ that is replaced

struct Counts {
  int points = 0, loaded = 0, wrong = 0, lost = 0, leftovers = 0, saves_refused = 0;
};

class CrashPoints : public ::testing::Test {
 protected:
  CrashPoints() { WriteTinyModel(models()); }
  fs::path models() const { return folder_.path() / "model"; }

  // The job's saves up to the fault -> the disk is as it was found after it.
  static void SaveUntilFault(FaultFileSystem& disk, SavingJob& job) {
    for (int i = 0; i < kSaves && !disk.failed(); ++i) job.SaveNext();
  }

  void Check(const FaultFileSystem& disk, const SavingJob& job, const std::string& point, Counts& counts) {
    for (const Committed& committed : job.checkpoints()) {
      const auto claim = Load(disk, committed.name);
      const bool there = claim.ok() && *claim == committed.claim;
      counts.lost += !there;
      EXPECT_TRUE(there) << point << ": " << committed.name << " was committed: " << claim.status();
    }
    if (job.has_best_model()) {
      const auto best = Load(disk, "best_model");
      counts.lost += !best.ok();
      EXPECT_TRUE(best.ok()) << point << ": " << best.status();
    }
    // Whatever lies where users and `output_policy: resume` look is whole.
    for (const std::string& name : Found(disk, point, counts)) {
      const auto claim = Load(disk, name);
      counts.loaded += claim.ok();
      counts.wrong += !claim.ok();
      EXPECT_TRUE(claim.ok()) << point << ": " << name << ": " << claim.status();
    }
  }

  void Point(int operation, Fault fault, uint64_t seed, Counts& counts) {
    const std::string point = absl::StrCat("operation ", operation, ", fault ", static_cast<int>(fault), ", seed ", seed);
    FaultFileSystem disk("/disk");
    ASSERT_TRUE(storage::CreateFolders("/disk", kOutput, disk).ok());
    disk.FailAt(disk.operations() + operation, fault, seed);
    SavingJob job(disk, kOutput, models());
    SaveUntilFault(disk, job);
    ASSERT_TRUE(disk.failed()) << point;
    const bool died = disk.dead();
    disk.Heal();
    ++counts.points;
    if (died) {
      const absl::Status restarted = job.Restart();
      counts.lost += !restarted.ok();
      EXPECT_TRUE(restarted.ok()) << point << ": " << restarted;
    }
    Check(disk, job, point, counts);
    const bool saved = job.SaveNext();
    counts.saves_refused += !saved;
    EXPECT_TRUE(saved) << point << ": the next save failed";
    Check(disk, job, point + ", after the next save", counts);
  }

 private:
  // What lies below output_dir under a final name; anything that has no business there fails the test.
  static std::vector<std::string> Found(const FaultFileSystem& disk, const std::string& point, Counts& counts) {
    std::vector<std::string> found;
    for (const std::string& name : disk.names(kOutput)) {
      const bool checkpoint = absl::StartsWith(name, "checkpoint-epoch-");
      if (checkpoint) found.push_back(name);
      EXPECT_TRUE(checkpoint || name == ".staging" || name == "recovery" || name == "best_model") << point << ": " << name;
    }
    for (const std::string& name : disk.names(fs::path(kOutput) / "recovery")) {
      const bool doomed = absl::EndsWith(name, storage::kSupersededMark);  // reaped by the next generation
      if (!doomed) found.push_back("recovery/" + name);
      counts.leftovers += doomed;
    }
    return found;
  }

  // Through real files, once for each content.
  absl::StatusOr<Claim> Load(const FaultFileSystem& disk, const std::string& name) {
    auto [known, is_new] = loaded_.try_emplace({name, disk.Content(fs::path(kOutput) / name)}, Claim());
    if (is_new) {
      const fs::path seen = folder_.path() / "seen" / name;
      fs::create_directories(seen.parent_path());
      disk.WriteTo(seen, fs::path(kOutput) / name);
      known->second = name == "best_model" ? LoadBestModel(seen) : LoadCheckpoint(seen);
      fs::remove_all(folder_.path() / "seen");
    }
    return known->second;
  }

  TemporaryFolder folder_;
  std::map<std::pair<std::string, std::string>, absl::StatusOr<Claim>> loaded_;
};

TEST_F(CrashPoints, NothingCommittedIsLostAndNothingLoadsWrongly) {
  int operations = 0;
  {
    FaultFileSystem disk("/disk");
    ASSERT_TRUE(storage::CreateFolders("/disk", kOutput, disk).ok());
    const int before = disk.operations();
    SavingJob job(disk, kOutput, models());
    for (int i = 0; i < kSaves; ++i) ASSERT_TRUE(job.SaveNext());
    operations = disk.operations() - before;
    Counts counts;
    Check(disk, job, "no fault", counts);
    ASSERT_FALSE(HasFailure());
  }
  const bool all = std::getenv("PIXELREC_LONG_TESTS") != nullptr;
  const int wanted = all ? 6000 : 500;
  // Without the variable: every so manieth operation, one seed.
  const int stride = all ? 1 : std::max(1, 4 * operations / wanted);
  const auto seeds = static_cast<uint64_t>(all ? (wanted + 4 * operations - 1) / (4 * operations) : 1);
  Counts counts;
  for (const Fault fault : {Fault::kNoSpace, Fault::kIoError, Fault::kTornWrite, Fault::kPowerLoss}) {
    for (int operation = 1; operation <= operations; operation += stride) {
      for (uint64_t seed = 0; seed < seeds; ++seed) {
        Point(operation, fault, all ? seed : static_cast<uint64_t>(operation), counts);
        if (HasFatalFailure()) return;
      }
    }
  }
  std::cout << counts.points << " crash points (" << operations << " operations, 4 faults): " << counts.loaded << " loads, "
            << counts.wrong << " wrong, " << counts.lost << " committed ones lost, " << counts.leftovers << " leftovers to reap, "
            << counts.saves_refused << " next saves refused\n";
  EXPECT_GE(counts.points, all ? 5000 : 400);
  EXPECT_GT(counts.loaded, counts.points);
  EXPECT_EQ(counts.wrong, 0);
  EXPECT_EQ(counts.lost, 0);
}

}  // namespace
}  // namespace pixelrec::checkpoint
