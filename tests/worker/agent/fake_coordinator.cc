#include "tests/worker/agent/fake_coordinator.h"

#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "google/protobuf/util/time_util.h"
#include "worker/agent/rank_key.h"

namespace pixelrec::agent {

using google::protobuf::util::TimeUtil;

void FakeCoordinator::Start() {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(address_, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
  ASSERT_NE(server_, nullptr);
  address_ = absl::StrCat("127.0.0.1:", port);
}

void FakeCoordinator::Stop() {
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now());
  server_.reset();
}

grpc::Status FakeCoordinator::Session(grpc::ServerContext* /*context*/, Stream* stream) {
  v1::SessionRequest request;
  while (stream->Read(&request)) {
    Record(request, stream);
    absl::MutexLock lock(&mutex_);
    if (stream_ == stream && close_with_.has_value()) break;
  }
  absl::MutexLock lock(&mutex_);
  if (stream_ != stream) return grpc::Status::OK;
  stream_ = nullptr;
  return std::exchange(close_with_, std::nullopt).value_or(grpc::Status::OK);
}

void FakeCoordinator::Record(const v1::SessionRequest& request, Stream* stream) {
  absl::MutexLock lock(&mutex_);
  v1::SessionResponse answer;
  switch (request.body_case()) {
    case v1::SessionRequest::kRegister:
      *answer.mutable_registered()->mutable_lease() = TimeUtil::MillisecondsToDuration(terms_.lease_ms);
      *answer.mutable_registered()->mutable_beat_interval() = TimeUtil::MillisecondsToDuration(terms_.beat_ms);
      *answer.mutable_registered()->mutable_orphan_grace() = TimeUtil::MillisecondsToDuration(terms_.orphan_ms);
      *answer.mutable_registered()->mutable_hang_floor() = TimeUtil::MillisecondsToDuration(terms_.hang_floor_ms);
      answer.mutable_registered()->set_hang_factor(10);
      stream->Write(answer);
      stream_ = stream;
      registrations_.push_back(request);
      break;
    case v1::SessionRequest::kBeat:
      ++beats_;
      newest_beat_ = request.beat();
      if (!acknowledge_beats_) break;
      answer.mutable_beat_ack()->set_number(request.beat().number());
      stream->Write(answer);
      break;
    case v1::SessionRequest::kRankReport:
      new_reports_.push_back(request.rank_report());
      all_reports_.push_back(request.rank_report());
      if (!acknowledge_reports_) break;
      SetKey(KeyOf(request.rank_report()), *answer.mutable_report_ack());
      answer.mutable_report_ack()->set_sequence(request.rank_report().sequence());
      stream->Write(answer);
      break;
    case v1::SessionRequest::kLogChunk:
      chunks_.push_back(request.log_chunk());
      break;
    case v1::SessionRequest::BODY_NOT_SET:
      ADD_FAILURE() << "an empty SessionRequest";
  }
}

void FakeCoordinator::AcknowledgeReports(bool yes) {
  absl::MutexLock lock(&mutex_);
  acknowledge_reports_ = yes;
}

void FakeCoordinator::AcknowledgeBeats(bool yes) {
  absl::MutexLock lock(&mutex_);
  acknowledge_beats_ = yes;
}

void FakeCoordinator::Await(const std::function<bool()>& condition, const char* what) {
  if (!mutex_.AwaitWithTimeout(absl::Condition(&condition), absl::Seconds(20))) {
    // Nothing that follows would make sense.
    std::fprintf(stderr, "waited 20 s in vain for %s; reports so far:\n", what);
    for (const v1::RankReport& report : all_reports_) std::fprintf(stderr, "  %s\n", report.ShortDebugString().c_str());
    std::abort();
  }
}

void FakeCoordinator::CloseSession(const grpc::Status& status) {
  absl::MutexLock lock(&mutex_);
  Await([this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stream_ != nullptr; }, "a session");
  close_with_ = status;  // with the next beat
}

void FakeCoordinator::Send(const v1::SessionResponse& response) {
  absl::MutexLock lock(&mutex_);
  Await([this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stream_ != nullptr; }, "a session");
  stream_->Write(response);
}

v1::SessionRequest FakeCoordinator::AwaitRegistration() {
  absl::MutexLock lock(&mutex_);
  Await([this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !registrations_.empty(); }, "a registration");
  v1::SessionRequest request = registrations_.front();
  registrations_.pop_front();
  return request;
}

v1::RankReport FakeCoordinator::AwaitReport(const std::function<bool(const v1::RankReport&)>& wanted) {
  absl::MutexLock lock(&mutex_);
  auto found = new_reports_.end();
  Await(
      [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        found = std::find_if(new_reports_.begin(), new_reports_.end(), wanted);
        return found != new_reports_.end();
      },
      "a report");
  v1::RankReport report = *found;
  new_reports_.erase(found);
  return report;
}

v1::LogChunk FakeCoordinator::AwaitLogChunk() {
  absl::MutexLock lock(&mutex_);
  Await([this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !chunks_.empty(); }, "a piece of a log");
  v1::LogChunk chunk = chunks_.front();
  chunks_.pop_front();
  return chunk;
}

void FakeCoordinator::AwaitBeats(int more) {
  absl::MutexLock lock(&mutex_);
  const int until = beats_ + more;
  Await([this, until]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return beats_ >= until; }, "beats");
}

v1::Beat FakeCoordinator::AwaitBeat() {
  absl::MutexLock lock(&mutex_);
  Await([this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return beats_ > 0; }, "a beat");
  return newest_beat_;
}

std::vector<v1::RankReport> FakeCoordinator::reports() {
  absl::MutexLock lock(&mutex_);
  return all_reports_;
}

bool FakeCoordinator::HasSession() {
  absl::MutexLock lock(&mutex_);
  return stream_ != nullptr;
}

void FakeCoordinator::AwaitNoSession() {
  absl::MutexLock lock(&mutex_);
  Await([this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stream_ == nullptr; }, "the end of the session");
}

}  // namespace pixelrec::agent
