// The model of a disk itself: what it may lose and what not.
#include "tests/common/storage/fault_file_system.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/storage/atomic_file.h"
#include "tests/common/temporary_folder.h"

namespace pixelrec::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

absl::Span<const std::byte> Text(absl::string_view text) {
  return absl::MakeConstSpan(reinterpret_cast<const std::byte*>(text.data()), text.size());
}

TEST(FaultFileSystem, AFileWhoseFolderWasNotSyncedIsLost) {
  FaultFileSystem disk("/d");
  auto file = *disk.Create("/d/f", FileSystem::Existing::kRefuse);
  ASSERT_TRUE(file->Append(Text("x")).ok() && file->SyncAndClose().ok());
  ASSERT_TRUE(disk.SyncFolder("/d").ok());
  ASSERT_TRUE((*disk.Create("/d/g", FileSystem::Existing::kRefuse))->SyncAndClose().ok());
  EXPECT_THAT(disk.names("/d"), ElementsAre("f", "g"));
  disk.FailAt(disk.operations() + 1, Fault::kPowerLoss, 0);
  EXPECT_FALSE(disk.CreateFolder("/d/h").ok());
  EXPECT_FALSE(disk.CreateFolder("/d/i").ok());  // dead: nothing more happens
  disk.Heal();
  EXPECT_THAT(disk.names("/d"), ElementsAre("f"));
}

TEST(FaultFileSystem, AnAtomicWriteLosesNothingOnceItReturned) {
  for (uint64_t seed = 0; seed < 16; ++seed) {
    for (int at = 1;; ++at) {
      FaultFileSystem disk("/d");
      ASSERT_TRUE(WriteFileAtomically("/d/f", "old", disk).ok());
      disk.FailAt(disk.operations() + at, Fault::kPowerLoss, seed);
      const bool returned = WriteFileAtomically("/d/f", "new", disk).ok();
      if (!disk.dead()) break;
      disk.Heal();
      const TemporaryFolder folder;
      disk.WriteTo(folder / "disk");
      const std::string content = *ReadFile(folder / "disk/f");
      EXPECT_FALSE(returned);
      EXPECT_TRUE(content == "old" || content == "new") << content << " at " << at << ", seed " << seed;
    }
  }
}

// What the model is for: a write without fsync is caught.
TEST(FaultFileSystem, ARenameOfUnsyncedBytesIsSeenTorn) {
  int torn = 0;
  for (uint64_t seed = 0; seed < 32; ++seed) {
    FaultFileSystem disk("/d");
    auto file = *disk.Create("/d/t", FileSystem::Existing::kRefuse);
    ASSERT_TRUE(file->Append(Text("0123456789")).ok());
    ASSERT_TRUE(disk.Rename("/d/t", "/d/f").ok());
    ASSERT_TRUE(disk.SyncFolder("/d").ok());
    disk.FailAt(disk.operations() + 1, Fault::kPowerLoss, seed);
    EXPECT_FALSE(disk.CreateFolder("/d/x").ok());
    const TemporaryFolder folder;
    disk.WriteTo(folder / "disk");
    torn += *ReadFile(folder / "disk/f") != "0123456789";
  }
  EXPECT_GT(torn, 8);
}

TEST(FaultFileSystem, NoSpaceLastsUntilItIsHealed) {
  FaultFileSystem disk("/d");
  disk.FailAt(1, Fault::kNoSpace, 0);
  EXPECT_TRUE(absl::IsResourceExhausted(WriteFileAtomically("/d/f", "x", disk)));
  EXPECT_TRUE(absl::IsResourceExhausted(disk.CreateFolder("/d/g")));
  EXPECT_EQ(*disk.FreeBytes("/d"), 0u);
  EXPECT_THAT(disk.names("/d"), IsEmpty());
  disk.Heal();
  EXPECT_TRUE(WriteFileAtomically("/d/f", "x", disk).ok());
}

TEST(FaultFileSystem, FoldersMadeOnTheWayAreDurable) {
  FaultFileSystem disk("/d");
  ASSERT_TRUE(CreateFolders("/d", "/d/a/b/c", disk).ok());
  disk.FailAt(disk.operations() + 1, Fault::kPowerLoss, 0);
  EXPECT_FALSE(disk.CreateFolder("/d/x").ok());
  disk.Heal();
  EXPECT_TRUE(disk.Exists("/d/a/b/c"));
  EXPECT_FALSE(disk.Exists("/d/x"));
}

}  // namespace
}  // namespace pixelrec::storage
