#include "coordinator/service/access/audit_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_split.h"
#include "common/rpc/reasons.h"
#include "common/storage/atomic_file.h"
#include "tests/common/temporary_folder.h"

namespace pixelrec::coordinator {
namespace {

Call SomeCall(const std::string& job = "a-1") {
  return {.method = "/pixelrec.v1.JobService/CancelJob",
          .peer = "ipv4:10.0.0.1:5",
          .caller = {.name = "alice", .role = rpc::Role::kSubmitter, .token_hash = "secret"},
          .job = job};
}

class AuditLogTest : public testing::Test {
 protected:
  std::vector<std::string> Lines(const std::string& name = "audit.log") {
    return absl::StrSplit(storage::ReadFile(dir_ / name).value_or(""), '\n', absl::SkipEmpty());
  }
  TemporaryFolder dir_;
};

TEST(AuditLine, IsOneLineOfJson) {
  const absl::Time now = absl::FromUnixMicros(1790000000'000123);
  EXPECT_EQ(AuditLine(SomeCall(), absl::OkStatus(), now, {}),
            R"({"time":"2026-09-21T14:13:20.000123Z","principal":"alice","role":"submitter","peer":"ipv4:10.0.0.1:5",)"
            R"("method":"pixelrec.v1.JobService/CancelJob","job":"a-1","outcome":"OK"})");
  EXPECT_EQ(AuditLine({.method = "/s/m"}, rpc::Refuse(absl::StatusCode::kUnauthenticated, rpc::kTokenUnknown, "who?"), now,
                      {.unwritable = 2, .unknown = 3}),
            R"({"time":"2026-09-21T14:13:20.000123Z","method":"s/m","outcome":"UNAUTHENTICATED","reason":"TOKEN_UNKNOWN",)"
            R"("unwritable_before":2,"unknown_before":3})");
}

// What a caller writes can't end the line, break the JSON or fill the disk.
TEST(AuditLine, IsBoundedAndWellFormedWhateverIsSent) {
  Call call = SomeCall(std::string(1 << 20, 'x'));
  call.request_id = "\n\"}\xff\xfe\x01";
  const std::string line = AuditLine(call, absl::OkStatus(), absl::UnixEpoch(), {});
  EXPECT_LT(line.size(), 1000u);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const nlohmann::json json = nlohmann::json::parse(line);
  EXPECT_EQ(json.at("job").get<std::string>(), std::string(256, 'x'));
  EXPECT_EQ(json.at("outcome"), "OK");
}

TEST_F(AuditLogTest, GoesOnWhereItWas) {
  for (int i = 0; i < 2; ++i) AuditLog::Open({.file = dir_ / "audit.log"}).value()->Write(SomeCall(), absl::OkStatus());
  EXPECT_EQ(Lines().size(), 2u);
  struct stat status;
  ASSERT_EQ(stat((dir_ / "audit.log").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(AuditLogTest, ALineIsThereWhenWriteReturns) {
  const auto log = AuditLog::Open({.file = dir_ / "audit.log"}).value();
  log->Write(SomeCall(), absl::OkStatus());
  EXPECT_EQ(Lines().size(), 1u);
}

TEST_F(AuditLogTest, TurnsOverAndKeepsSoMany) {
  const auto log = AuditLog::Open({.file = dir_ / "audit.log", .max_bytes = 1000, .kept = 2}).value();
  for (int i = 0; i < 40; ++i) log->Write(SomeCall(std::to_string(i)), absl::OkStatus());
  for (const char* name : {"audit.log", "audit.log.1", "audit.log.2"}) {
    EXPECT_GT(Lines(name).size(), 0u) << name;
    EXPECT_LE(std::filesystem::file_size(dir_ / name), 1000u) << name;
  }
  EXPECT_FALSE(std::filesystem::exists(dir_ / "audit.log.3"));
  EXPECT_EQ(nlohmann::json::parse(Lines().back()).at("job"), "39");
  const int last_of_older = std::stoi(nlohmann::json::parse(Lines("audit.log.1").back()).at("job").get<std::string>());
  EXPECT_EQ(std::stoi(nlohmann::json::parse(Lines().front()).at("job").get<std::string>()), last_of_older + 1) << "none is lost";
}

TEST_F(AuditLogTest, AFloodFromNobodyLeavesRoomForTheOthers) {
  absl::Time now = absl::FromUnixSeconds(1790000000);
  const auto log = AuditLog::Open({.file = dir_ / "audit.log", .unknown_per_second = 3, .now = [&] { return now; }}).value();
  const absl::Status refused = rpc::Refuse(absl::StatusCode::kUnauthenticated, rpc::kCredentialsMissing, "who?");
  for (int i = 0; i < 10; ++i) log->Write({.method = "/s/m"}, refused);
  EXPECT_EQ(Lines().size(), 3u);
  log->Write(SomeCall(), absl::OkStatus());
  ASSERT_EQ(Lines().size(), 4u) << "others are not held up";
  EXPECT_EQ(nlohmann::json::parse(Lines().back()).at("unknown_before"), 7);
  now += absl::Seconds(1);
  log->Write({.method = "/s/m"}, refused);
  EXPECT_EQ(Lines().size(), 5u);
  EXPECT_FALSE(nlohmann::json::parse(Lines().back()).contains("unknown_before"));
}

TEST_F(AuditLogTest, ManyThreadsWriteWholeLines) {
  {
    const auto log = AuditLog::Open({.file = dir_ / "audit.log"}).value();
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 100; ++i) log->Write(SomeCall(), absl::OkStatus());
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(Lines().size(), 400u);
  for (const std::string& line : Lines()) EXPECT_TRUE(nlohmann::json::accept(line)) << line;
}

// /dev/full takes the open and refuses every write, as a full disk does.
TEST_F(AuditLogTest, WhatCannotBeWrittenIsSaidOnceAndCounted) {
  std::vector<std::string> said;
  const auto log = AuditLog::Open({.file = "/dev/full", .log = [&](absl::string_view text) { said.emplace_back(text); }}).value();
  for (int i = 0; i < 3; ++i) log->Write(SomeCall(), absl::OkStatus());
  ASSERT_EQ(said.size(), 1u);
  EXPECT_THAT(said[0], testing::HasSubstr("/dev/full"));
}

TEST_F(AuditLogTest, AFileThatCannotBeOpenedIsRefused) {
  EXPECT_FALSE(AuditLog::Open({.file = dir_ / "no" / "audit.log"}).ok());
  std::filesystem::create_symlink(dir_ / "elsewhere", dir_ / "link");
  EXPECT_FALSE(AuditLog::Open({.file = dir_ / "link"}).ok()) << "it would be written to wherever the link says";
}

}  // namespace
}  // namespace pixelrec::coordinator
