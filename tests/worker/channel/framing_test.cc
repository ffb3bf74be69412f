#include "worker/channel/framing.h"

#include <gtest/gtest.h>

#include "pixelrec/v1/trainer_channel.pb.h"
#include "worker/channel/channel.h"

namespace pixelrec::channel {
namespace {

v1::TrainerReport Report(int64_t step) {
  v1::TrainerReport report;
  report.set_job_id("job");
  report.mutable_step_timings()->set_step(step);
  return report;
}

TEST(FramingTest, HeaderIsLittleEndian) {
  v1::TrainerReport report;
  report.mutable_notice()->set_text(std::string(300, 'x'));
  const std::string frame = *EncodeFrame(report);
  const size_t size = frame.size() - 4;
  EXPECT_EQ(static_cast<unsigned char>(frame[0]), size % 256);
  EXPECT_EQ(static_cast<unsigned char>(frame[1]), size / 256);
  EXPECT_EQ(frame[2], 0);
  EXPECT_EQ(frame[3], 0);
}

TEST(FramingTest, AnyCutGivesTheSameMessages) {
  std::string stream;
  for (int i = 1; i <= 20; ++i) stream += *EncodeFrame(Report(i));
  for (size_t piece : {1ul, 2ul, 3ul, 5ul, 7ul, 64ul, stream.size()}) {
    FrameReader reader;
    int64_t expected = 1;
    v1::TrainerReport report;
    for (size_t at = 0; at < stream.size(); at += piece) {
      reader.Append(absl::string_view(stream).substr(at, piece));
      for (;;) {
        const auto next = reader.Next(report);
        ASSERT_TRUE(next.ok());
        if (!*next) break;
        EXPECT_EQ(report.step_timings().step(), expected++);
      }
    }
    EXPECT_EQ(expected, 21) << "pieces of " << piece;
    EXPECT_EQ(reader.pending_bytes(), 0u);
  }
}

TEST(FramingTest, TornMessageLeavesBytesPending) {
  const std::string frame = *EncodeFrame(Report(1));
  FrameReader reader;
  reader.Append(absl::string_view(frame).substr(0, frame.size() - 1));
  v1::TrainerReport report;
  EXPECT_FALSE(*reader.Next(report));
  EXPECT_EQ(reader.pending_bytes(), frame.size() - 1);
}

TEST(FramingTest, OversizeIsRefusedOnBothSidesAndForEver) {
  v1::TrainerReport report;
  report.mutable_notice()->set_text(std::string(kMaxMessageBytes, 'x'));
  EXPECT_EQ(EncodeFrame(report).status().code(), absl::StatusCode::kInvalidArgument);

  FrameReader reader;
  reader.Append(absl::string_view("\x01\x00\x00\x01", 4));  // 16 MiB + 1
  EXPECT_EQ(reader.Next(report).status().code(), absl::StatusCode::kDataLoss);
  reader.Append(*EncodeFrame(Report(1)));
  EXPECT_EQ(reader.Next(report).status().code(), absl::StatusCode::kDataLoss);
}

TEST(FramingTest, GarbageIsDataLoss) {
  FrameReader reader;
  reader.Append(absl::string_view("\x02\x00\x00\x00\xff\xff", 6));
  v1::TrainerReport report;
  EXPECT_EQ(reader.Next(report).status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace pixelrec::channel
