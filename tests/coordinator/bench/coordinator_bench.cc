// What a coordinator takes: durable submissions per second, how fast it lists, how much memory its jobs need, how fast it is back
// after kill -9, how long it takes to decide who starts, what a fleet of workers and a long history cost. Not a test: prints one
// line per number.  coordinator_bench [jobs] [clients] [ended jobs] [workers]
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "common/process/child.h"
#include "common/process/memory.h"
#include "tests/common/temporary_folder.h"
#include "tests/coordinator/bench/decision_times.h"
#include "tests/coordinator/bench/fleet_load.h"
#include "tests/coordinator/cluster/test_coordinator.h"

namespace pixelrec::coordinator {
namespace {

using Clock = std::chrono::steady_clock;

double Since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

double Percentile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1))];
}

struct Coordinator {
  explicit Coordinator(const std::filesystem::path& dir) {
    const std::filesystem::path ready = dir / "ready";
    std::filesystem::remove(ready);
    const auto begin = Clock::now();
    child = process::Child::Spawn({.program = PIXELREC_BIN_DIR "/pixelrec-coordinator",
                                   .arguments = {"--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--state-dir",
                                                 (dir / "state").string(), "--ready-file", ready.string()}})
                .value();
    pollfd fd{child->pidfd(), POLLIN, 0};
    while (!std::filesystem::exists(ready) && poll(&fd, 1, 1) == 0) {
    }
    start_seconds = Since(begin);
    std::ifstream in(ready);
    nlohmann::json json;
    in >> json;
    address = json["grpc"];
  }
  std::unique_ptr<v1::JobService::Stub> Connect() const { return v1::JobService::NewStub(rpc::OpenChannel(address).value()); }
  double Megabytes() const { return static_cast<double>(process::ResidentBytes(child->pid()).value()) / (1 << 20); }

  std::unique_ptr<process::Child> child;
  std::string address;
  double start_seconds = 0;
};

// One client's jobs, one after the other -> seconds until each was answered. `cancel`: each is ended at once.
std::vector<double> SubmitMany(const Coordinator& coordinator, const std::string& prefix, int jobs, bool cancel) {
  auto stub = coordinator.Connect();
  std::vector<double> seconds;
  for (int i = 0; i < jobs; ++i) {
    v1::SubmitJobRequest request;
    *request.mutable_spec() = SmallSpec(prefix + "n" + std::to_string(i), 1);
    v1::SubmitJobResponse response;
    const auto begin = Clock::now();
    if (!stub->SubmitJob(TestCoordinator::Context().get(), request, &response).ok()) std::abort();
    seconds.push_back(Since(begin));
    if (!cancel) continue;
    v1::CancelJobRequest end;
    end.set_job(response.job().job_id());
    end.set_now(true);
    v1::CancelJobResponse ended;
    if (!stub->CancelJob(TestCoordinator::Context().get(), end, &ended).ok()) std::abort();
  }
  return seconds;
}

// -> seconds of each answer; also how long all took.
std::vector<double> SubmitFrom(const Coordinator& coordinator, const std::string& prefix, int clients, int jobs, bool cancel,
                               double* elapsed) {
  std::vector<std::vector<double>> parts(static_cast<size_t>(clients));
  std::vector<std::thread> threads;
  const auto begin = Clock::now();
  for (size_t c = 0; c < parts.size(); ++c) {
    threads.emplace_back([&, c] { parts[c] = SubmitMany(coordinator, prefix + std::to_string(c), jobs / clients, cancel); });
  }
  for (std::thread& thread : threads) thread.join();
  *elapsed = Since(begin);
  std::vector<double> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

void BenchSubmissions(const Coordinator& coordinator, const std::string& prefix, int clients, int jobs) {
  double elapsed = 0;
  const std::vector<double> seconds = SubmitFrom(coordinator, prefix, clients, jobs, false, &elapsed);
  std::printf("durable submissions, %d client%s: %.0f/s, p50 %.1f ms, p99 %.1f ms; %.1f MB\n", clients, clients == 1 ? "" : "s",
              static_cast<double>(seconds.size()) / elapsed, 1e3 * Percentile(seconds, 0.5), 1e3 * Percentile(seconds, 0.99),
              coordinator.Megabytes());
}

// The first page, one in the middle, and one job.
void BenchReads(const Coordinator& coordinator, const char* of) {
  auto stub = coordinator.Connect();
  std::vector<double> lists, gets;
  std::string token;
  for (int i = 0; i < 400; ++i) {
    v1::ListJobsRequest request;
    request.set_page_token(token);
    v1::ListJobsResponse response;
    auto at = Clock::now();
    if (!stub->ListJobs(TestCoordinator::Context().get(), request, &response).ok()) std::abort();
    lists.push_back(Since(at));
    token = response.next_page_token();
    v1::GetJobRequest one;
    one.set_job(response.jobs(0).job_id());
    v1::GetJobResponse job;
    at = Clock::now();
    if (!stub->GetJob(TestCoordinator::Context().get(), one, &job).ok()) std::abort();
    gets.push_back(Since(at));
  }
  std::printf("with %s: page of 100 p50 %.1f ms, p99 %.1f ms; one job p99 %.1f ms; %.1f MB\n", of, 1e3 * Percentile(lists, 0.5),
              1e3 * Percentile(lists, 0.99), 1e3 * Percentile(gets, 0.99), coordinator.Megabytes());
}

void RunJobs(int jobs, int clients, int ended) {
  TemporaryFolder dir;
  auto coordinator = std::make_unique<Coordinator>(dir.path());
  std::printf("start, empty journal: %.3f s, %.1f MB\n", coordinator->start_seconds, coordinator->Megabytes());
  BenchSubmissions(*coordinator, "a", 1, std::max(1, jobs / 10));
  BenchSubmissions(*coordinator, "b", clients, jobs - jobs / 10);
  BenchReads(*coordinator, "these jobs in the queue");

  coordinator->child->Signal(SIGKILL);
  coordinator.reset();
  coordinator = std::make_unique<Coordinator>(dir.path());
  std::printf("kill -9 -> serving with %d jobs: %.3f s, %.1f MB\n", jobs, coordinator->start_seconds, coordinator->Megabytes());

  double elapsed = 0;
  SubmitFrom(*coordinator, "e", clients, ended, true, &elapsed);
  BenchReads(*coordinator, (std::to_string(ended) + " more that have ended").c_str());
  coordinator->child->Signal(SIGKILL);
  coordinator.reset();
  coordinator = std::make_unique<Coordinator>(dir.path());
  std::printf("kill -9 -> serving with all of them: %.3f s, %.1f MB\n", coordinator->start_seconds, coordinator->Megabytes());
}

void RunFleet(int workers) {
  const TemporaryFolder dir;
  const Coordinator coordinator(dir.path());
  BenchFleet(coordinator.address, coordinator.child->pid(), workers);
}

}  // namespace
}  // namespace pixelrec::coordinator

int main(int argc, char** argv) {
  const int jobs = argc > 1 ? std::atoi(argv[1]) : 10000;
  const int clients = argc > 2 ? std::atoi(argv[2]) : 8;
  pixelrec::coordinator::BenchDecisions(jobs);
  const int ended = argc > 3 ? std::atoi(argv[3]) : 100000;
  const int workers = argc > 4 ? std::atoi(argv[4]) : 1024;
  pixelrec::coordinator::RunFleet(workers);
  pixelrec::coordinator::RunJobs(jobs, clients, ended);
}
