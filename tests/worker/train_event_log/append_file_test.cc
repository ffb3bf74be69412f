#include "worker/train/event_log/append_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

#include "tests/common/temporary_folder.h"
#include "tests/worker/train_event_log/read_all.h"

namespace pixelrec::train {
namespace {

TEST(AppendFile, GrowsWhatIsThereAndMakesItsFolder) {
  TemporaryFolder folder;
  const auto path = folder.path() / "logs" / "a.log";
  for (const char* text : {"one\n", "two\n"}) {
    auto file = AppendFile::Open(path);
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_TRUE((*file)->Append(text).ok());
    EXPECT_TRUE((*file)->Sync().ok());
  }
  EXPECT_EQ(ReadAll(path), "one\ntwo\n");
}

TEST(AppendFile, TakesBackARecordThatDoesNotFitOnTheDisk) {
  // A limit on the file's size stands in for a full disk.
  TemporaryFolder folder;
  auto file = AppendFile::Open(folder.path() / "a.log");
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->Append("whole\n").ok());
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{100, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status = (*file)->Append(std::string(200, 'x'));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("cannot write"));
  EXPECT_EQ(ReadAll(folder.path() / "a.log"), "whole\n");
  EXPECT_TRUE((*file)->Append("again\n").ok());
  EXPECT_EQ(ReadAll(folder.path() / "a.log"), "whole\nagain\n");
}

TEST(AppendFile, NamesWhatItCannotOpen) {
  TemporaryFolder folder;
  EXPECT_FALSE(AppendFile::Open(folder.path()).ok());
  EXPECT_THAT(std::string(AppendFile::Open("/proc/nowhere/a.log").status().message()), ::testing::HasSubstr("/proc/nowhere"));
}

}  // namespace
}  // namespace pixelrec::train
