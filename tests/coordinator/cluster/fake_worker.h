// A worker daemon and its trainers without processes: one WorkerService session, driven step by step by a test.
//
// Every wait has a deadline (the stream's own); a failed wait fails the test. Threads: one.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/rpc/channel.h"
#include "pixelrec/v1/worker_service.grpc.pb.h"

namespace pixelrec::coordinator {

class FakeWorker {
 public:
  FakeWorker(std::string id, uint64_t incarnation, std::string host = "host-a")
      : id_(std::move(id)), incarnation_(incarnation), host_(std::move(host)) {}

  // Opens a session, registers, waits for the answer.
  void Connect(const std::string& address, const std::vector<v1::RunningRank>& running = {}) {
    Dial(address, running, {});
    registered_ = Read();
  }

  // Opens a session and registers, whatever comes of it.
  void Dial(const std::string& address, const std::vector<v1::RunningRank>& running, const config::ClientSecurity& security) {
    Disconnect();
    stub_ = v1::WorkerService::NewStub(rpc::OpenChannel(address, security).value());
    context_ = std::make_unique<grpc::ClientContext>();
    rpc::SetDeadline(*context_, std::chrono::seconds(30));
    stream_ = stub_->Session(context_.get());
    v1::SessionRequest request = Envelope();
    v1::RegisterWorker& info = *request.mutable_register_();
    info.set_host(host_);
    info.set_advertise_address("127.0.0.1");
    info.set_version("test");
    info.set_device("cpu");
    for (const v1::RunningRank& rank : running) {
      *info.add_running() = rank;
    }
    stream_->Write(request);
  }

  // As a killed daemon does: without a word.
  void Disconnect() {
    if (stream_ != nullptr) {
      context_->TryCancel();
      stream_->Finish();
      stream_.reset();
    }
  }

  ~FakeWorker() { Disconnect(); }

  // The status the server ended the session with.
  grpc::Status End() {
    v1::SessionResponse ignored;
    while (stream_->Read(&ignored)) {
    }
    grpc::Status status = stream_->Finish();
    stream_.reset();
    return status;
  }

  v1::SessionResponse Read() {
    v1::SessionResponse response;
    EXPECT_TRUE(stream_->Read(&response)) << id_ << ": the session ended";
    return response;
  }

  // The next message other than acknowledgements, which are taken note of.
  v1::SessionResponse Next() {
    while (true) {
      v1::SessionResponse response = Read();
      if (response.has_report_ack()) {
        acked_[response.report_ack().rank()] = response.report_ack().sequence();
      } else if (!response.has_beat_ack()) {
        return response;
      }
      if (response.body_case() == v1::SessionResponse::BODY_NOT_SET) {
        return response;
      }
    }
  }

  v1::StartRank NextStart() {
    v1::SessionResponse response = Next();
    EXPECT_TRUE(response.has_start_rank()) << id_ << ": " << response.ShortDebugString();
    start_ = response.start_rank();
    sequence_ = 0;
    return start_;
  }

  // Reads until report `sequence` of the current rank is acknowledged.
  void AwaitAck(uint64_t sequence) {
    while (acked_[start_.plan().rank()] < sequence) {
      v1::SessionResponse response = Read();
      ASSERT_TRUE(response.has_report_ack()) << id_ << ": " << response.ShortDebugString();
      acked_[response.report_ack().rank()] = response.report_ack().sequence();
    }
  }

  void Beat(uint64_t number = 1) {
    v1::SessionRequest request = Envelope();
    request.mutable_beat()->set_number(number);
    stream_->Write(request);
  }

  // Sends a report of the rank that NextStart() gave.
  void Report(v1::TrainerReport trainer) {
    v1::RankReport report;
    *report.mutable_trainer() = std::move(trainer);
    Send(std::move(report));
  }
  void Exit(int code, int signal = 0) {
    v1::RankReport report;
    report.mutable_exited()->set_exit_code(code);
    report.mutable_exited()->set_signal(signal);
    Send(std::move(report));
  }
  void Published(const v1::Artifact& artifact) {
    v1::RankReport report;
    *report.mutable_artifact_published() = artifact;
    Send(std::move(report));
  }
  void Send(v1::RankReport report) {
    v1::SessionRequest request = Envelope();
    report.set_job_id(start_.job_id());
    report.set_generation(start_.generation());
    report.set_rank(start_.plan().rank());
    report.set_sequence(++sequence_);
    *request.mutable_rank_report() = std::move(report);
    stream_->Write(request);
  }
  void Write(const v1::SessionRequest& request) { stream_->Write(request); }
  v1::SessionRequest Envelope() const {
    v1::SessionRequest request;
    request.set_worker_id(id_);
    request.set_incarnation(incarnation_);
    return request;
  }

  uint64_t sequence() const { return sequence_; }
  const v1::SessionResponse& registered() const { return registered_; }
  const v1::StartRank& start() const { return start_; }
  v1::RunningRank Running() const {
    v1::RunningRank rank;
    rank.set_job_id(start_.job_id());
    rank.set_generation(start_.generation());
    rank.set_rank(start_.plan().rank());
    rank.set_role(start_.plan().role());
    return rank;
  }

 private:
  const std::string id_;
  const uint64_t incarnation_;
  const std::string host_;
  std::unique_ptr<v1::WorkerService::Stub> stub_;
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::SessionRequest, v1::SessionResponse>> stream_;
  v1::SessionResponse registered_;
  v1::StartRank start_;
  uint64_t sequence_ = 0;
  std::map<int32_t, uint64_t> acked_;
};

// The reports of a healthy trainer, in short.
inline v1::TrainerReport Hello(int64_t pid) {
  v1::TrainerReport report;
  report.mutable_hello()->set_pid(pid);
  return report;
}
inline v1::TrainerReport Prepared(const std::string& hash) {
  v1::TrainerReport report;
  report.mutable_dataset_prepared()->set_data_hash(hash);
  return report;
}
inline v1::TrainerReport StoreOpened(int port) {
  v1::TrainerReport report;
  report.mutable_store_opened()->set_host("127.0.0.1");
  report.mutable_store_opened()->set_port(port);
  return report;
}
inline v1::TrainerReport Started() {
  v1::TrainerReport report;
  report.mutable_training_started();
  return report;
}
inline v1::TrainerReport ProgressAt(int64_t step) {
  v1::TrainerReport report;
  report.mutable_progress()->set_step(step);
  report.mutable_progress()->set_total_steps(100);
  report.mutable_progress()->set_section("train");
  return report;
}
inline v1::TrainerReport Staged(v1::ArtifactKind kind, const std::string& path, int64_t step) {
  v1::TrainerReport report;
  report.mutable_artifact_staged()->set_kind(kind);
  report.mutable_artifact_staged()->set_path(path);
  report.mutable_artifact_staged()->set_staging_path(path + ".staging");
  report.mutable_artifact_staged()->set_step(step);
  return report;
}
inline v1::TrainerReport Result() {
  v1::TrainerReport report;
  report.mutable_result()->set_samples(10);
  return report;
}

}  // namespace pixelrec::coordinator
