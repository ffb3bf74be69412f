#include "coordinator/journal/journal.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "tests/common/temporary_folder.h"

namespace pixelrec::coordinator {
namespace {

class JournalTest : public ::testing::Test {
 protected:
  std::unique_ptr<Journal> Open(int64_t max_bytes = 0) {
    auto journal = Journal::Open({.path = path_, .max_bytes = max_bytes});
    EXPECT_TRUE(journal.ok()) << journal.status();
    return journal.ok() ? *std::move(journal) : nullptr;
  }
  static std::vector<std::string> Contents(Journal& journal) {
    std::vector<std::string> records;
    EXPECT_TRUE(journal
                    .Replay([&](absl::string_view bytes) {
                      records.emplace_back(bytes);
                      return absl::OkStatus();
                    })
                    .ok());
    return records;
  }
  void Overwrite(const std::filesystem::path& file, const std::string& what, const std::string& with) {
    std::ifstream in(file, std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    const size_t at = bytes.find(what);
    ASSERT_NE(at, std::string::npos);
    bytes.replace(at, with.size(), with);
    std::ofstream(file, std::ios::binary) << bytes;
  }

  TemporaryFolder dir_;
  std::filesystem::path path_ = dir_ / "journal.db";
};

using Records = std::vector<std::string>;

TEST_F(JournalTest, KeepsWhatWasAppendedInOrder) {
  {
    auto journal = Open();
    EXPECT_EQ(Contents(*journal), Records{});
    ASSERT_TRUE(journal->Append({"one", "two"}).ok());
    ASSERT_TRUE(journal->Append({}).ok());
    ASSERT_TRUE(journal->Append({std::string("\0three", 6)}).ok());
    EXPECT_EQ(journal->tail_length(), 3);
  }
  auto journal = Open();
  EXPECT_EQ(journal->tail_length(), 3);
  EXPECT_EQ(Contents(*journal), (Records{"one", "two", std::string("\0three", 6)}));
  ASSERT_TRUE(journal->Append({"four"}).ok());
  EXPECT_EQ(Contents(*journal).back(), "four");
}

TEST_F(JournalTest, ASnapshotTakesThePlaceOfWhatWasBefore) {
  {
    auto journal = Open();
    ASSERT_TRUE(journal->Append({"a", "b", "c"}).ok());
    ASSERT_TRUE(journal->Compact({"abc"}).ok());
    EXPECT_EQ(journal->tail_length(), 0);
    ASSERT_TRUE(journal->Append({"d"}).ok());
  }
  auto journal = Open();
  EXPECT_EQ(Contents(*journal), (Records{"abc", "d"}));
  EXPECT_EQ(journal->tail_length(), 1);
  ASSERT_TRUE(journal->Compact({}).ok());
  EXPECT_EQ(Contents(*journal), Records{});
}

TEST_F(JournalTest, CompactionGivesSpaceBack) {
  auto journal = Open();
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(journal->Append({std::string(20000, 'x')}).ok());
  }
  ASSERT_TRUE(journal->Compact({"small"}).ok());
  const int64_t after = journal->SizeBytes();
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(journal->Append({std::string(20000, 'y')}).ok());
  }
  ASSERT_TRUE(journal->Compact({"small"}).ok());
  EXPECT_LE(journal->SizeBytes(), after + 100000) << "pages of deleted records are used again";
}

TEST_F(JournalTest, ASecondOpenerIsToldWhoHasIt) {
  auto journal = Open();
  auto second = Journal::Open({.path = path_});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(second.status().message().find("another coordinator uses the state directory"), std::string::npos) << second.status();
  journal.reset();
  EXPECT_TRUE(Journal::Open({.path = path_}).ok());
}

TEST_F(JournalTest, AFullDiskIsSaidAndSurvived) {
  {
    auto journal = Open(200 << 10);
    absl::Status status;
    int appended = 0;
    while (status.ok() && appended < 1000) {
      status = journal->Append({"small", std::string(5000, 'x')});
      appended += status.ok();
    }
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_GT(appended, 5);
    EXPECT_EQ(Contents(*journal).size(), 2u * static_cast<size_t>(appended)) << "a refused batch leaves nothing behind";
    // Space comes back.
    ASSERT_TRUE(journal->Compact({"all of it"}).ok());
    EXPECT_TRUE(journal->Append({"more"}).ok());
  }
  EXPECT_EQ(Contents(*Open()), (Records{"all of it", "more"}));
}

TEST_F(JournalTest, AFlippedBitInARecordIsFoundAtReplay) {
  Open()->Append({"aaaa-the-first-record", "bbbb-the-second-record"}).IgnoreError();
  Overwrite(path_, "bbbb-the", "bbbb-tHe");
  auto journal = Open();
  absl::Status status = journal->Replay([](absl::string_view) { return absl::OkStatus(); });
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(status.message().find("record 2 fails its checksum"), std::string::npos) << status;
  EXPECT_NE(status.message().find(".recover"), std::string::npos) << status;
}

TEST_F(JournalTest, ADamagedFileIsRefusedWithAHint) {
  {
    auto journal = Open();
    for (int i = 0; i < 50; ++i) {
      ASSERT_TRUE(journal->Append({std::string(3000, static_cast<char>('a' + i % 26))}).ok());
    }
  }
  std::filesystem::resize_file(path_, std::filesystem::file_size(path_) / 2);
  auto damaged = Journal::Open({.path = path_});
  EXPECT_EQ(damaged.status().code(), absl::StatusCode::kDataLoss) << damaged.status();
  EXPECT_NE(damaged.status().message().find("To repair"), std::string::npos);

  std::ofstream(path_, std::ios::binary)
      << "this is no database at all, but long enough to look at, say a hundred bytes or a few more of them";
  EXPECT_EQ(Journal::Open({.path = path_}).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(JournalTest, AnErrorOfTheReaderStopsTheReplay) {
  auto journal = Open();
  ASSERT_TRUE(journal->Append({"good", "bad", "never"}).ok());
  int seen = 0;
  absl::Status status = journal->Replay([&](absl::string_view bytes) {
    ++seen;
    return bytes == "bad" ? absl::DataLossError("what is this") : absl::OkStatus();
  });
  EXPECT_EQ(seen, 2);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(status.message().find("record 2: what is this"), std::string::npos) << status;
}

TEST_F(JournalTest, AFolderThatIsNotThereIsNamed) {
  auto journal = Journal::Open({.path = dir_ / "no" / "journal.db"});
  EXPECT_EQ(journal.status().code(), absl::StatusCode::kPermissionDenied) << journal.status();
  EXPECT_NE(journal.status().message().find((dir_ / "no").string()), std::string::npos);
}

// kill -9 while one process appends as fast as it can: what it had confirmed is there, and nothing is half there.
TEST_F(JournalTest, WhatWasConfirmedSurvivesAKill) {
  for (int round = 0; round < 5; ++round) {
    int confirmed[2];
    ASSERT_EQ(pipe(confirmed), 0);
    const pid_t child = fork();
    if (child == 0) {
      auto journal = Journal::Open({.path = path_});
      for (uint32_t i = 0; journal.ok(); ++i) {
        if (!(*journal)->Append({"x", "y"}).ok() || write(confirmed[1], &i, sizeof i) != sizeof i) {
          break;
        }
      }
      _exit(1);
    }
    close(confirmed[1]);
    uint32_t last = 0;
    const uint32_t enough = 20 + 37 * static_cast<uint32_t>(round);
    while (last < enough && read(confirmed[0], &last, sizeof last) == sizeof last) {
    }
    kill(child, SIGKILL);
    while (read(confirmed[0], &last, sizeof last) == sizeof last) {
    }
    close(confirmed[0]);
    int ignored;
    waitpid(child, &ignored, 0);
    auto journal = Open();
    const Records records = Contents(*journal);
    EXPECT_GE(records.size(), 2u * (last + 1));
    EXPECT_EQ(records.size() % 2, 0u) << "half a batch";
    ASSERT_TRUE(journal->Compact({}).ok());
  }
}

}  // namespace
}  // namespace pixelrec::coordinator
