#include "common/storage/contained_path.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/common/temporary_folder.h"

namespace pixelrec::storage {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class ContainedPath : public testing::Test {
 protected:
  ContainedPath() {
    fs::create_directories(root_ / "in" / "deep");
    fs::create_directories(folder_ / "outside");
    folder_.Write("outside/secret", "x");
    folder_.Write("root/in/file", "x");
  }
  absl::Status Check(const fs::path& path) { return CheckContained(path, {root_}); }
  bool Denied(const fs::path& path) { return absl::IsPermissionDenied(Check(path)); }

  TemporaryFolder folder_;
  const fs::path root_ = folder_ / "root";
};

TEST_F(ContainedPath, TakesWhatLiesInARoot) {
  for (const char* inside : {"", "in", "in/", "in/file", "in/deep", "new", "in/new", "new/deeper/still", "in/./deep", "..."}) {
    EXPECT_TRUE(Check(root_ / inside).ok()) << inside << ": " << Check(root_ / inside);
  }
  EXPECT_TRUE(CheckContained(root_ / "in", {"/nowhere", root_}).ok());
  EXPECT_TRUE(CheckContained(root_ / "in", {fs::path(root_.string() + "/")}).ok());
}

TEST_F(ContainedPath, RefusesWhatLiesElsewhere) {
  for (const fs::path& outside :
       {folder_ / "outside", folder_ / "rooted", fs::path("/etc/passwd"), folder_.path(), fs::path("/")}) {
    EXPECT_TRUE(Denied(outside)) << outside;
  }
}

TEST_F(ContainedPath, RefusesDots) {
  EXPECT_EQ(Check(root_ / ".." / "outside").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Check(root_ / "in" / ".." / "in").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Check("in/file").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CheckContained("/a/../b", {}).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ContainedPath, RefusesLinksThatLeaveTheRoot) {
  fs::create_directory_symlink(folder_ / "outside", root_ / "absolute");
  fs::create_directory_symlink("../outside", root_ / "relative");
  fs::create_symlink("../../outside/secret", root_ / "in" / "file_link");
  fs::create_directory_symlink("absolute", root_ / "twice");
  for (const char* link : {"absolute", "absolute/secret", "absolute/new", "relative", "relative/secret", "relative/new/er",
                           "in/file_link", "twice/secret", "twice/new"}) {
    EXPECT_TRUE(Denied(root_ / link)) << link << ": " << Check(root_ / link);
  }
}

// As the caches of model hubs have them.
TEST_F(ContainedPath, TakesRelativeLinksThatStay) {
  fs::create_symlink("file", root_ / "in" / "beside");
  fs::create_directory_symlink("../in", root_ / "in" / "back");
  EXPECT_TRUE(Check(root_ / "in" / "beside").ok());
  EXPECT_TRUE(Check(root_ / "in" / "back" / "file").ok());
  EXPECT_TRUE(Check(root_ / "in" / "back" / "new").ok());
}

// Written to, it would make what it points at.
TEST_F(ContainedPath, RefusesALinkToNothing) {
  fs::create_symlink("nothing", root_ / "dangling");
  fs::create_symlink(folder_ / "outside" / "new", root_ / "dangling_out");
  EXPECT_TRUE(Denied(root_ / "dangling"));
  EXPECT_TRUE(Denied(root_ / "dangling" / "new"));
  EXPECT_TRUE(Denied(root_ / "dangling_out"));
}

TEST_F(ContainedPath, RefusesLinksInACircle) {
  fs::create_symlink("b", root_ / "a");
  fs::create_symlink("a", root_ / "b");
  EXPECT_TRUE(Denied(root_ / "a"));
}

TEST_F(ContainedPath, ARootMayBeALinkItself) {
  fs::create_directory_symlink(root_, folder_ / "alias");
  EXPECT_TRUE(CheckContained(folder_ / "alias" / "in", {folder_ / "alias"}).ok());
  EXPECT_TRUE(CheckContained(root_ / "in", {folder_ / "alias"}).ok());
  EXPECT_TRUE(absl::IsPermissionDenied(CheckContained(folder_ / "alias" / "in", {root_})))
      << "a way in from outside is another spelling";
}

TEST_F(ContainedPath, RefusesWhatIsNoFile) {
  ASSERT_EQ(mkfifo((root_ / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(std::string(Check(root_ / "pipe").message()), HasSubstr("neither a file nor a directory"));
  EXPECT_TRUE(absl::IsPermissionDenied(CheckContained("/dev/zero", {})));
  EXPECT_TRUE(absl::IsPermissionDenied(CheckContained("/dev/zero", {"/dev"})));
}

TEST_F(ContainedPath, RefusesWhereTheSystemShowsItself) {
  fs::create_symlink("/proc/self/environ", root_ / "link");
  for (const auto& roots : {std::vector<fs::path>{}, std::vector<fs::path>{"/"}, std::vector<fs::path>{"/proc"}}) {
    for (const char* path : {"/proc/self/environ", "/proc/1/environ", "/proc/self/fd/0", "/proc/self/root/etc/passwd",
                             "/proc/self/cwd/x", "/proc", "/proc/new", "/sys", "/sys/kernel"}) {
      EXPECT_FALSE(CheckContained(path, roots).ok()) << path;
    }
    EXPECT_FALSE(CheckContained(root_ / "link", roots).ok());
  }
}

TEST_F(ContainedPath, WithoutRootsAnyFileWillDo) {
  EXPECT_TRUE(CheckContained(folder_ / "outside" / "secret", {}).ok());
  EXPECT_TRUE(CheckContained(folder_ / "new" / "er", {}).ok());
  fs::create_directory_symlink(folder_ / "outside", root_ / "absolute");
  EXPECT_TRUE(CheckContained(root_ / "absolute" / "secret", {}).ok());
}

TEST_F(ContainedPath, ARootMayBeMadeLaterAndMustBeAFolder) {
  EXPECT_TRUE(CheckContained("/nowhere/x", {"/nowhere"}).ok());
  const absl::Status status = CheckContained(root_ / "in" / "file" / "x", {root_ / "in" / "file"});
  EXPECT_THAT(std::string(status.message()), HasSubstr("a root can't be opened: Not a directory"));
}

TEST(LiesUnder, GoesByWholeNames) {
  EXPECT_TRUE(LiesUnder("/data/x", "/data"));
  EXPECT_TRUE(LiesUnder("/data/x", "/data/"));
  EXPECT_TRUE(LiesUnder("/data", "/data"));
  EXPECT_TRUE(LiesUnder("/x", "/"));
  EXPECT_FALSE(LiesUnder("/database", "/data"));
  EXPECT_FALSE(LiesUnder("/dat", "/data"));
}

}  // namespace
}  // namespace pixelrec::storage
