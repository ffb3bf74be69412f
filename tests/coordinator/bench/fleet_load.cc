#include "tests/coordinator/bench/fleet_load.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/process/memory.h"
#include "common/rpc/channel.h"
#include "pixelrec/v1/job_service.grpc.pb.h"
#include "pixelrec/v1/worker_service.grpc.pb.h"
#include "tests/coordinator/cluster/test_coordinator.h"

namespace pixelrec::coordinator {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kRamp = 4, kSeconds = 30;  // the fleet comes up, then is measured

// One session; beats when told, reads whatever comes.
class Session : public grpc::ClientBidiReactor<v1::SessionRequest, v1::SessionResponse> {
 public:
  Session(v1::WorkerService::Stub& stub, const std::string& id) {
    request_.set_worker_id(id);
    request_.set_incarnation(1);
    request_.mutable_register_()->set_host(id);
    request_.mutable_register_()->set_advertise_address("127.0.0.1");
    request_.mutable_register_()->set_version("bench");
    request_.mutable_register_()->set_device("cpu");
    stub.async()->Session(&context_, this);
    StartRead(&response_);
    StartWrite(&request_);
    StartCall();
  }
  // Within a second of the one before: that one is written by then.
  void Beat(uint64_t number) {
    if (!written_.exchange(false)) return;
    sent_ = Clock::now();
    request_.mutable_beat()->set_number(number);
    StartWrite(&request_);
  }
  void End() {
    context_.TryCancel();
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&done_));
  }
  const std::vector<double>& latencies() const { return latencies_; }
  bool broken() const { return broken_; }

 private:
  void OnWriteDone(bool ok) override { written_ = ok; }
  void OnReadDone(bool ok) override {
    if (!ok) {
      broken_ = true;
      return;
    }
    if (response_.has_beat_ack()) {
      latencies_.push_back(std::chrono::duration<double, std::milli>(Clock::now() - sent_.load()).count());
    }
    StartRead(&response_);
  }
  void OnDone(const grpc::Status&) override {
    absl::MutexLock lock(&mutex_);
    done_ = true;
  }

  grpc::ClientContext context_;
  v1::SessionRequest request_;
  v1::SessionResponse response_;
  std::atomic<bool> written_{false}, broken_{false};
  std::atomic<Clock::time_point> sent_{};
  std::vector<double> latencies_;
  absl::Mutex mutex_;
  bool done_ = false;
};

double CpuSeconds(pid_t pid) {
  std::ifstream in(absl::StrCat("/proc/", pid, "/stat"));
  std::string field;
  double ticks = 0;
  for (int i = 1; i <= 15 && in >> field; ++i) ticks += i >= 14 ? std::atof(field.c_str()) : 0;
  return ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

int Registered(v1::JobService::Stub& jobs) {
  v1::ListWorkersResponse workers;
  v1::ListWorkersRequest request;
  int idle = 0;
  do {
    request.set_page_token(workers.next_page_token());
    if (!jobs.ListWorkers(TestCoordinator::Context().get(), request, &workers).ok()) std::abort();
    for (const v1::Worker& worker : workers.workers()) idle += worker.state() == v1::WORKER_STATE_IDLE;
  } while (!workers.next_page_token().empty());
  return idle;
}

}  // namespace

void BenchFleet(const std::string& address, pid_t coordinator, int workers) {
  const auto jobs = v1::JobService::NewStub(rpc::OpenChannel(address).value());
  const auto dialer = rpc::Dialer::Create({.address = address}).value();  // a connection each, as real workers have
  std::vector<std::unique_ptr<v1::WorkerService::Stub>> stubs;
  std::vector<std::unique_ptr<Session>> sessions;
  double cpu = 0;
  const auto begin = Clock::now();
  for (int second = 0; second < kRamp + kSeconds; ++second) {
    if (second == kRamp) cpu = CpuSeconds(coordinator);
    for (int i = 0; i < workers; ++i) {
      const auto place = static_cast<size_t>(i);
      if (place < sessions.size()) {
        sessions[place]->Beat(static_cast<uint64_t>(second) + 1);
      } else if (i < workers * (second + 1) / kRamp) {
        stubs.push_back(v1::WorkerService::NewStub(dialer->Dial()));
        sessions.push_back(std::make_unique<Session>(*stubs.back(), absl::StrCat("fleet-", i)));
      }
      const std::chrono::duration<double> at(second + static_cast<double>(i + 1) / workers);
      std::this_thread::sleep_until(begin + std::chrono::duration_cast<Clock::duration>(at));
    }
  }
  cpu = CpuSeconds(coordinator) - cpu;
  const int idle = Registered(*jobs);
  std::vector<double> latencies;
  int broken = 0;
  for (auto& session : sessions) {
    broken += session->broken();
    session->End();
    latencies.insert(latencies.end(), session->latencies().begin(), session->latencies().end());
  }
  std::sort(latencies.begin(), latencies.end());
  const double p99 = latencies.empty() ? -1 : latencies[latencies.size() * 99 / 100];
  std::printf(
      "%d workers with a beat a second: %.1f %% of a core, %.1f MB; %zu beats answered, p99 %.1f ms; %d registered, %d lost\n",
      workers, 100 * cpu / kSeconds, static_cast<double>(process::ResidentBytes(coordinator).value()) / (1 << 20),
      latencies.size(), p99, idle, broken);
}

}  // namespace pixelrec::coordinator
