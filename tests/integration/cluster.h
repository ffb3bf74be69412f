// A whole cluster on loopback for tests: the real pixelrec-coordinator and pixelrec-worker programs as children, each on free
// ports, all under one scratch folder; the trainer is a fake that follows a script (tests/worker/agent/fake_trainer.cc) or the
// real one.
//
// Every wait has a deadline, of a minute if no other is given, and fails the test when it passes. Threads: one.
#pragma once

#include <signal.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/process/child.h"
#include "pixelrec/v1/job_service.grpc.pb.h"
#include "tests/common/temporary_folder.h"

namespace pixelrec::integration {

class Cluster {
 public:
  struct Options {
    std::filesystem::path trainer;
    int workers = 2;
    int later_workers = 0;  // with the indexes behind those; the test starts them
    std::chrono::seconds patience{60};
    std::string coordinator_yaml = "lease: 2s\nbeat_interval: 200ms\n";
    std::vector<std::string> worker_arguments = {};
  };
  explicit Cluster(Options options);
  ~Cluster();

  const std::filesystem::path& dir() const { return dir_; }
  // Fails the test with what the daemons wrote.
  std::string Logs() const;

  // A second StartCoordinator serves on the same port, from the same journal.
  void StartCoordinator();
  void StartWorker(int index);
  void Kill(int index) { Signal(*workers_.at(index), SIGKILL); }
  void Stop(int index) { Signal(*workers_.at(index), SIGSTOP); }
  void Continue(int index) { Signal(*workers_.at(index), SIGCONT); }
  void Terminate(int index) { Signal(*workers_.at(index), SIGTERM); }
  void KillCoordinator() { Signal(*coordinator_, SIGKILL); }
  process::Exit AwaitWorkerExit(int index);
  std::string metrics_address(int index) const { return worker_metrics_.at(index); }
  const std::string& address() const { return address_; }
  std::string coordinator_metrics_address() const { return coordinator_metrics_; }

  // Empty message: OK.
  v1::Job Submit(const v1::JobSpec& spec, const std::string& request_id = "");
  v1::Job Get(const std::string& job);
  void Cancel(const std::string& job, bool now);
  // Polls, because the coordinator may be down meanwhile: a test of that must not depend on a stream.
  v1::Job Await(const std::string& job, const std::function<bool(const v1::Job&)>& condition, const std::string& what);
  void AwaitFile(const std::filesystem::path& file);
  v1::Job AwaitState(const std::string& job, v1::JobState state);
  // All durable events; their sequences are checked to be 1, 2, 3, ...
  std::vector<v1::JobEvent> Events(const std::string& job);
  // The whole series, whose job has ended.
  std::vector<v1::MetricPoint> Metrics(const std::string& job);
  std::string Log(const std::string& job, int rank);
  std::vector<v1::Worker> Workers();
  void AwaitWorkers(int idle);

  // A spec for the fake trainer. `scripts` by rank.
  v1::JobSpec Spec(const std::string& name, const std::vector<std::string>& scripts) const;

 private:
  std::unique_ptr<process::Child> Spawn(const std::string& program, std::vector<std::string> arguments, const std::string& name);
  void Signal(process::Child& child, int signal);
  // Of a ready file of a daemon.
  std::string AwaitReady(const process::Child& child, const std::string& name, const char* field);

  const Options options_;
  const TemporaryFolder folder_;
  const std::filesystem::path dir_ = folder_.path();
  std::unique_ptr<process::Child> coordinator_;
  std::vector<std::unique_ptr<process::Child>> workers_;
  std::string address_ = "127.0.0.1:0";
  std::string coordinator_metrics_;
  std::vector<std::string> worker_metrics_;
  std::unique_ptr<v1::JobService::Stub> stub_;
};

// Notices, epochs and artifacts of a job, in order, in words: "notice a; epoch 1; artifact checkpoint-epoch-1; ".
std::string Story(const std::vector<v1::JobEvent>& events);
// The states a job went through: "PENDING PREPARING STARTING RUNNING SUCCEEDED".
std::string States(const std::vector<v1::JobEvent>& events);

}  // namespace pixelrec::integration
