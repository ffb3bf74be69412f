#include "worker/agent/report_buffer.h"

#include <gtest/gtest.h>

#include "worker/agent/generation_fence.h"

namespace pixelrec::agent {
namespace {

v1::RankReport Notice(const std::string& text, uint64_t generation = 1, int rank = 0, const std::string& job = "j") {
  v1::RankReport report;
  SetKey(RankKey{job, generation, rank}, report);
  report.mutable_trainer()->mutable_notice()->set_text(text);
  return report;
}

v1::RankReport Progress(int64_t step, int rank = 0) {
  v1::RankReport report;
  SetKey(RankKey{"j", 1, rank}, report);
  report.mutable_trainer()->mutable_progress()->set_step(step);
  return report;
}

v1::RankReport Exited(uint64_t generation) {
  v1::RankReport report;
  SetKey(RankKey{"j", generation, 0}, report);
  report.mutable_exited()->set_exit_code(1);
  return report;
}

v1::ReportAck Ack(uint64_t sequence, uint64_t generation = 1, int rank = 0) {
  v1::ReportAck ack;
  SetKey(RankKey{"j", generation, rank}, ack);
  ack.set_sequence(sequence);
  return ack;
}

// "sequence:text" or "sequence:step" of all that is left to send.
std::string Drain(ReportBuffer& buffer) {
  std::string all;
  while (std::optional<v1::RankReport> report = buffer.TakeNext()) {
    const std::string body = report->has_exited()               ? "exit"
                             : report->trainer().has_progress() ? std::to_string(report->trainer().progress().step())
                                                                : report->trainer().notice().text();
    all += std::to_string(report->sequence()) + ":" + body + " ";
  }
  return all;
}

TEST(ReportBufferTest, NumbersEachRankFromOneInOrder) {
  ReportBuffer buffer;
  buffer.Add(Notice("a"));
  buffer.Add(Notice("b", 1, 1));
  buffer.Add(Notice("c"));
  EXPECT_EQ(Drain(buffer), "1:a 1:b 2:c ");
  EXPECT_FALSE(buffer.has_next());
}

TEST(ReportBufferTest, SendsUnacknowledgedAgainWithTheSameNumbersAfterANewSession) {
  ReportBuffer buffer;
  for (const char* text : {"a", "b", "c"}) buffer.Add(Notice(text));
  EXPECT_EQ(Drain(buffer), "1:a 2:b 3:c ");
  buffer.Acknowledge(Ack(1));
  buffer.Add(Notice("d"));
  buffer.Rewind();
  EXPECT_EQ(Drain(buffer), "2:b 3:c 4:d ");
  buffer.Acknowledge(Ack(4));
  EXPECT_TRUE(buffer.empty());
  buffer.Rewind();
  EXPECT_EQ(Drain(buffer), "");
}

TEST(ReportBufferTest, AnAckOfOneRankLeavesTheOthers) {
  ReportBuffer buffer;
  buffer.Add(Notice("a", 1, 0));
  buffer.Add(Notice("b", 1, 1));
  Drain(buffer);
  buffer.Acknowledge(Ack(9, 1, 1));
  buffer.Rewind();
  EXPECT_EQ(Drain(buffer), "1:a ");
}

TEST(ReportBufferTest, AnAckNeverReachesWhatWasNotSent) {
  ReportBuffer buffer;
  buffer.Add(Notice("a"));
  buffer.Acknowledge(Ack(5));
  EXPECT_EQ(Drain(buffer), "1:a ");
}

TEST(ReportBufferTest, ProgressCoalescesAndNothingElseIsLost) {
  ReportBuffer buffer;
  buffer.Add(Progress(1));
  buffer.Add(Notice("a"));
  buffer.Add(Progress(2));
  buffer.Add(Progress(7, /*rank=*/1));
  buffer.Add(Progress(3));
  EXPECT_EQ(Drain(buffer), "1:a 1:7 2:3 ");
  // Sent progress isn't kept: only the notice comes again.
  buffer.Rewind();
  EXPECT_EQ(Drain(buffer), "1:a ");
  buffer.Add(Progress(4));
  EXPECT_EQ(Drain(buffer), "3:4 ");
}

TEST(ReportBufferTest, ProgressOfAYearTakesTheRoomOfOne) {
  ReportBuffer buffer;
  for (int i = 0; i < 100'000; ++i) buffer.Add(Progress(i));
  EXPECT_FALSE(buffer.full());
  EXPECT_EQ(Drain(buffer), "1:99999 ");
  EXPECT_TRUE(buffer.empty());
}

TEST(ReportBufferTest, FullUntilAcknowledged) {
  ReportBuffer buffer(1000);
  uint64_t sent = 0;
  while (!buffer.full()) buffer.Add(Notice(std::string(100, 'x'))), ++sent;
  EXPECT_LE(sent, 10u);
  Drain(buffer);
  EXPECT_TRUE(buffer.full());
  buffer.Acknowledge(Ack(sent));
  EXPECT_FALSE(buffer.full());
}

TEST(ReportBufferTest, OlderGenerationsAreForgottenButForTheirExits) {
  ReportBuffer buffer;
  buffer.Add(Notice("old", 1));
  Drain(buffer);
  buffer.Add(Notice("old unsent", 1));
  buffer.Add(Exited(1));
  buffer.Add(Notice("new", 2));
  buffer.Add(Notice("other job", 1, 0, "k"));
  buffer.ForgetOlder("j", 2);
  buffer.Rewind();
  EXPECT_EQ(Drain(buffer), "2:exit 1:new 1:other job ");
}

TEST(ReportBufferTest, ForgettingTheNextOneGoesOnBehindIt) {
  ReportBuffer buffer;
  buffer.Add(Notice("a", 1));
  buffer.Add(Notice("b", 2));
  buffer.ForgetOlder("j", 2);
  EXPECT_EQ(Drain(buffer), "1:b ");
}

TEST(ReportBufferTest, WhatIsTooLargeToSendBecomesANotice) {
  ReportBuffer buffer;
  buffer.Add(Notice(std::string(ReportBuffer::kMaxReportBytes, 'x')));
  const auto report = buffer.TakeNext();
  EXPECT_LT(report->ByteSizeLong(), 1000u);
  EXPECT_NE(report->trainer().notice().text().find("left out"), std::string::npos);
}

TEST(GenerationFenceTest, OnlyRises) {
  using Verdict = GenerationFence::Verdict;
  GenerationFence fence;
  EXPECT_EQ(fence.Admit("j", 3), Verdict::kNewer);
  EXPECT_EQ(fence.Admit("j", 3), Verdict::kCurrent);
  EXPECT_EQ(fence.Admit("j", 2), Verdict::kOlder);
  EXPECT_TRUE(fence.IsOlder("j", 2));
  EXPECT_FALSE(fence.IsOlder("j", 3));
  EXPECT_FALSE(fence.IsOlder("never heard of", 0));
  EXPECT_EQ(fence.Admit("k", 1), Verdict::kNewer);
  EXPECT_EQ(fence.Admit("j", 4), Verdict::kNewer);
  EXPECT_EQ(fence.Admit("j", 3), Verdict::kOlder);
}

TEST(GenerationFenceTest, AGenerationStartsOnce) {
  GenerationFence fence;
  fence.Admit("j", 1);
  EXPECT_TRUE(fence.MarkStarted("j"));
  EXPECT_FALSE(fence.MarkStarted("j"));
  fence.Admit("j", 2);
  EXPECT_TRUE(fence.MarkStarted("j"));
}

TEST(GenerationFenceTest, ForgetsTheJobNotHeardOfForLongest) {
  GenerationFence fence;
  fence.Admit("first", 5);
  fence.Admit("kept", 5);
  for (int i = 0; i < 1023; ++i) {
    fence.Admit("job" + std::to_string(i), 1);
    fence.Admit("kept", 5);
  }
  EXPECT_TRUE(fence.IsOlder("kept", 4));
  EXPECT_FALSE(fence.IsOlder("first", 4));
}

}  // namespace
}  // namespace pixelrec::agent
