#include "common/storage/atomic_file.h"
#include "tests/common/temporary_folder.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <set>
#include <thread>

namespace pixelrec::storage {
namespace {

namespace fs = std::filesystem;

class AtomicFileTest : public testing::Test {
 protected:
  std::set<std::string> Entries() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(dir_)) names.insert(entry.path().filename().string());
    return names;
  }
  void MakeDirectory(const std::string& name, const std::string& marker) {
    fs::create_directories(dir_ / name);
    ASSERT_TRUE(WriteFileAtomically(dir_ / name / "marker", marker).ok());
  }

  const TemporaryFolder folder_;
  const fs::path dir_ = folder_.path();
};

TEST_F(AtomicFileTest, WritesReplacesAndLeavesNoTemporary) {
  const fs::path file = dir_ / "f";
  ASSERT_TRUE(WriteFileAtomically(file, "one").ok());
  ASSERT_TRUE(WriteFileAtomically(file, std::string(300'000, 'x')).ok());
  EXPECT_EQ(*ReadFile(file), std::string(300'000, 'x'));
  ASSERT_TRUE(WriteFileAtomically(file, "").ok());
  EXPECT_EQ(*ReadFile(file), "");
  EXPECT_EQ(Entries(), std::set<std::string>{"f"});
}

TEST_F(AtomicFileTest, KeepsOldContentAndCleansUpWhenTheDiskIsFull) {
  const fs::path file = dir_ / "f";
  ASSERT_TRUE(WriteFileAtomically(file, "old").ok());
  // A file size limit fails write() after a part of it, as a full disk does.
  signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 100;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status = WriteFileAtomically(file, std::string(1000, 'n'));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(*ReadFile(file), "old");
  EXPECT_EQ(Entries(), std::set<std::string>{"f"});
}

TEST_F(AtomicFileTest, ConcurrentWritersNeverMix) {
  const fs::path file = dir_ / "f";
  std::vector<std::thread> writers;
  for (char c = 'a'; c < 'e'; ++c) {
    writers.emplace_back([&, c] {
      for (int i = 0; i < 20; ++i) ASSERT_TRUE(WriteFileAtomically(file, std::string(5000, c)).ok());
    });
  }
  for (auto& writer : writers) writer.join();
  const std::string content = *ReadFile(file);
  EXPECT_EQ(content, std::string(5000, content[0]));
}

TEST_F(AtomicFileTest, MissingFolderIsNotFoundAndNamed) {
  const absl::Status status = WriteFileAtomically(dir_ / "no" / "f", "x");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(status.message().find("/no/f"), absl::string_view::npos) << status;
  EXPECT_EQ(ReadFile(dir_ / "nothing").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(AtomicFileTest, PublishMovesExchangesAndRepeats) {
  MakeDirectory("staged", "1");
  ASSERT_TRUE(PublishDirectory(dir_ / "staged", dir_ / "final").ok());
  EXPECT_EQ(*ReadFile(dir_ / "final" / "marker"), "1");
  // A repeat after success changes nothing.
  ASSERT_TRUE(PublishDirectory(dir_ / "staged", dir_ / "final").ok());
  EXPECT_EQ(*ReadFile(dir_ / "final" / "marker"), "1");
  // A second version takes the place of the first, which is removed. Trailing slashes mean nothing.
  MakeDirectory("staged", "2");
  ASSERT_TRUE(PublishDirectory(dir_ / "staged/", dir_ / "final/").ok());
  EXPECT_EQ(*ReadFile(dir_ / "final" / "marker"), "2");
  EXPECT_EQ(Entries(), std::set<std::string>{"final"});
}

TEST_F(AtomicFileTest, PublishRepeatedAfterACrashBehindTheExchangeKeepsTheNewVersion) {
  // Died between the exchange and the removal: `staged` holds the old version, marked.
  MakeDirectory("final", "new");
  MakeDirectory("staged", "old");
  ASSERT_TRUE(WriteFileAtomically(dir_ / "staged" / ".superseded", "").ok());
  ASSERT_TRUE(PublishDirectory(dir_ / "staged", dir_ / "final").ok());
  EXPECT_EQ(*ReadFile(dir_ / "final" / "marker"), "new");
  EXPECT_EQ(Entries(), std::set<std::string>{"final"});
}

TEST_F(AtomicFileTest, PublishRepeatedAfterACrashBeforeTheExchangeStillExchanges) {
  MakeDirectory("final", "old");
  ASSERT_TRUE(WriteFileAtomically(dir_ / "final" / ".superseded", "").ok());
  MakeDirectory("staged", "new");
  ASSERT_TRUE(PublishDirectory(dir_ / "staged", dir_ / "final").ok());
  EXPECT_EQ(*ReadFile(dir_ / "final" / "marker"), "new");
  EXPECT_EQ(Entries(), std::set<std::string>{"final"});
}

TEST_F(AtomicFileTest, PublishRepeatedAfterACrashInsideTheRemovalFinishesIt) {
  MakeDirectory("final", "new");
  fs::create_directories(dir_ / "staged.superseded" / "half");
  ASSERT_TRUE(PublishDirectory(dir_ / "staged", dir_ / "final").ok());
  EXPECT_EQ(Entries(), std::set<std::string>{"final"});
}

TEST_F(AtomicFileTest, PublishOfNothingIsNotFound) {
  const absl::Status status = PublishDirectory(dir_ / "staged", dir_ / "final");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
  EXPECT_NE(status.message().find("staged"), absl::string_view::npos);
}

TEST_F(AtomicFileTest, PublishAlwaysShowsOneWholeVersion) {
  MakeDirectory("final", "0");
  std::atomic<bool> done{false};
  std::thread reader([&] {
    while (!done) ASSERT_TRUE(fs::exists(dir_ / "final"));
  });
  for (int i = 1; i <= 50; ++i) {
    MakeDirectory("staged", std::to_string(i));
    ASSERT_TRUE(PublishDirectory(dir_ / "staged", dir_ / "final").ok());
  }
  done = true;
  reader.join();
  EXPECT_EQ(*ReadFile(dir_ / "final" / "marker"), "50");
}

TEST(ErrnoStatusTest, TypesAndHints) {
  EXPECT_EQ(ErrnoStatus(ENOSPC, "can't write", "/x").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrnoStatus(EACCES, "can't open", "/x").code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ErrnoStatus(EIO, "can't read", "/x").code(), absl::StatusCode::kInternal);
  EXPECT_EQ(ErrnoStatus(ENOENT, "can't open", "/x").message(), "can't open /x: No such file or directory");
  EXPECT_EQ(ErrnoStatus(ENOSPC, "can't write", "/x").message(),
            "can't write /x: No space left on device (free some space and try again)");
}

}  // namespace
}  // namespace pixelrec::storage
