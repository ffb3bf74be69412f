#include "worker/train/event_log/event_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/common/temporary_folder.h"
#include "tests/worker/train_event_log/read_all.h"
#include "worker/train/event_log/event_message.h"
#include "worker/train/event_log/record_file.h"

namespace pixelrec::train {
namespace {

// RFC 3720, appendix B.4.
TEST(Crc32c, MatchesThePublishedVectors) {
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32c(""), 0u);
}

TEST(FrameRecord, IsLengthChecksumPayloadChecksum) {
  const std::string record = FrameRecord("abc");
  ASSERT_EQ(record.size(), 8u + 4 + 3 + 4);
  EXPECT_EQ(record.substr(0, 8), std::string("\3\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(record.substr(12, 3), "abc");
  const uint32_t stored = static_cast<unsigned char>(record[15]) | static_cast<unsigned char>(record[16]) << 8 |
                          static_cast<unsigned char>(record[17]) << 16 |
                          static_cast<uint32_t>(static_cast<unsigned char>(record[18])) << 24;
  EXPECT_EQ(stored, MaskedCrc32c("abc"));
}

TEST(ScalarEvent, IsTheProtobufWireFormat) {
  // 09 wall_time=1.5 | 10 step=300 | 2a len{ 0a len{ 0a "t" | 15 value=2.0f } }
  const std::string expected("\x09\x00\x00\x00\x00\x00\x00\xf8\x3f\x10\xac\x02\x2a\x0a\x0a\x08\x0a\x01t\x15\x00\x00\x00\x40", 24);
  EXPECT_EQ(ScalarEvent(1.5, 300, "t", 2.0f), expected);
}

TEST(EventFile, ShowsEveryRecordAtOnce) {
  TemporaryFolder folder;
  auto file = EventFile::Create({folder.path() / "logs", "h_1", 7, 0, [] { return 12.5; }});
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->path().filename(), "events.out.tfevents.0000000012.h-1.7");
  const size_t start = ReadAll((*file)->path()).size();
  EXPECT_GT(start, 0u);
  ASSERT_TRUE((*file)->AddScalar("t", 3, 2.0).ok());
  EXPECT_EQ(ReadAll((*file)->path()).substr(start), FrameRecord(ScalarEvent(12.5, 3, "t", 2.0f)));
}

TEST(EventFile, TakesTheMachinesNameByDefault) {
  TemporaryFolder folder;
  auto file = EventFile::Create({folder.path(), "", 1, 0, [] { return 1.0; }});
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT((*file)->path().filename().string(),
              ::testing::MatchesRegex("events\\.out\\.tfevents\\.0000000001\\.[A-Za-z0-9.-]+\\.1"));
}

TEST(EventFile, NamesAFolderThatItCannotMake) {
  EXPECT_FALSE(EventFile::Create({"/proc/nowhere", "h", 1, 0, [] { return 1.0; }}).ok());
}

}  // namespace
}  // namespace pixelrec::train
