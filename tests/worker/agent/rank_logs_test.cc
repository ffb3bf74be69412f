#include "worker/agent/rank_logs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "common/storage/atomic_file.h"
#include "tests/common/temporary_folder.h"

namespace pixelrec::agent {
namespace {

using testing::HasSubstr;

class RankLogsTest : public testing::Test {
 protected:
  std::filesystem::path Write(const RankKey& key, const std::string& text) {
    const RankLogs logs(dir_);
    EXPECT_TRUE(logs.Prepare(key).ok());
    EXPECT_TRUE(storage::WriteFileAtomically(*logs.PathOf(key), text).ok());
    return *logs.PathOf(key);
  }
  v1::LogChunk Read(const std::string& job, uint64_t generation, int64_t offset, int32_t max_bytes = 0, int32_t rank = 0) {
    v1::ReadLog request;
    request.set_request(7);
    request.set_job_id(job);
    request.set_generation(generation);
    request.set_rank(rank);
    request.set_offset(offset);
    request.set_max_bytes(max_bytes);
    return RankLogs(dir_).Read(request);
  }

  const TemporaryFolder folder_;
  const std::filesystem::path dir_ = folder_.path();
};

TEST_F(RankLogsTest, ReadsPiecesAndSaysWhereToGoOn) {
  Write({"j", 1, 0}, "one\ntwo\nthree\n");
  v1::LogChunk chunk = Read("j", 1, 0, 4);
  EXPECT_EQ(chunk.request(), 7u);
  EXPECT_EQ(chunk.data(), "one\n");
  EXPECT_EQ(chunk.next_offset(), 4);
  EXPECT_EQ(Read("j", 1, 4).data(), "two\nthree\n");
  EXPECT_EQ(Read("j", 1, -6).data(), "three\n");
  EXPECT_EQ(Read("j", 1, -600).data(), "one\ntwo\nthree\n");
  chunk = Read("j", 1, 99);
  EXPECT_EQ(chunk.data(), "");
  EXPECT_EQ(chunk.next_offset(), 14);
  EXPECT_EQ(chunk.error(), "");
}

TEST_F(RankLogsTest, NeverMoreThanTheLimit) {
  Write({"j", 1, 0}, std::string(RankLogs::kMaxReadBytes + 10, 'x'));
  EXPECT_EQ(Read("j", 1, 0, 1 << 30).data().size(), static_cast<size_t>(RankLogs::kMaxReadBytes));
}

TEST_F(RankLogsTest, GenerationZeroIsTheNewestOfThatRank) {
  Write({"j", 2, 0}, "two");
  Write({"j", 10, 0}, "ten");
  Write({"j", 11, 1}, "other rank");
  EXPECT_EQ(Read("j", 0, 0).data(), "ten");
  EXPECT_EQ(Read("j", 0, 0, 0, 1).data(), "other rank");
}

TEST_F(RankLogsTest, WhatIsNotThereIsSaid) {
  Write({"j", 1, 0}, "x");
  EXPECT_THAT(Read("j", 5, 0).error(), HasSubstr("g5-r0.log"));
  EXPECT_THAT(Read("k", 0, 0).error(), HasSubstr("no log of rank 0 of job k"));
}

TEST_F(RankLogsTest, AJobIdCanNotLeaveTheFolder) {
  for (const char* id : {"..", "../x", "a/b", "", "a b", "/etc"}) {
    EXPECT_FALSE(RankLogs(dir_).Prepare({id, 1, 0}).ok()) << id;
    EXPECT_NE(Read(id, 1, 0).error(), "") << id;
    EXPECT_NE(Read(id, 0, 0).error(), "") << id;
  }
}

TEST_F(RankLogsTest, ALinkInPlaceOfALogIsNotFollowed) {
  const std::filesystem::path log = Write({"j", 1, 0}, "x");
  std::filesystem::remove(log);
  std::filesystem::create_symlink("/etc/passwd", log);
  EXPECT_EQ(Read("j", 1, 0).data(), "");
  EXPECT_NE(Read("j", 1, 0).error(), "");
}

TEST_F(RankLogsTest, TailBeginsWithAWholeLineAndIsUtf8) {
  EXPECT_EQ(RankLogs::Tail(Write({"j", 1, 0}, "first line\nsecond\nthird\n"), 14), "second\nthird\n");
  EXPECT_EQ(RankLogs::Tail(Write({"j", 1, 1}, "all of it\n"), 100), "all of it\n");
  EXPECT_EQ(RankLogs::Tail(Write({"j", 1, 2}, std::string(50, 'x')), 10), "xxxxxxxxxx");
  EXPECT_EQ(RankLogs::Tail(Write({"j", 1, 3}, "\xff ok \xc3\xa9 \xc3( \xed\xa0\x80 \xf0\x9f\x98\x80 \xe2\x82"), 100),
            "? ok \xc3\xa9 ?( ??? \xf0\x9f\x98\x80 ??");
  EXPECT_EQ(RankLogs::Tail(dir_ / "nothing", 100), "");
}

}  // namespace
}  // namespace pixelrec::agent
