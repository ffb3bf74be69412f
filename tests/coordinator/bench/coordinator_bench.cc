// What a coordinator takes: durable submissions per second, how fast it lists, how much memory its jobs need, how fast it is back
// after kill -9, how long it takes to decide who starts. Not a test: prints one line per number.  coordinator_bench [jobs]
// [clients]
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
#include "tests/coordinator/bench/schedule_bench.h"
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

void SubmitMany(const Coordinator& coordinator, int client, int jobs, std::vector<double>& latencies) {
  auto stub = coordinator.Connect();
  for (int i = 0; i < jobs; ++i) {
    v1::SubmitJobRequest request;
    *request.mutable_spec() = SmallSpec("c" + std::to_string(client) + "n" + std::to_string(i), 1);
    v1::SubmitJobResponse response;
    const auto begin = Clock::now();
    if (!stub->SubmitJob(TestCoordinator::Context().get(), request, &response).ok()) std::abort();
    latencies.push_back(Since(begin));
  }
}

void Run(int jobs, int clients) {
  TemporaryFolder dir;
  auto coordinator = std::make_unique<Coordinator>(dir.path());
  std::printf("start, empty journal: %.3f s, %.1f MB\n", coordinator->start_seconds, coordinator->Megabytes());

  std::vector<std::vector<double>> latencies(static_cast<size_t>(clients));
  std::vector<std::thread> threads;
  const auto begin = Clock::now();
  for (int c = 0; c < clients; ++c) {
    threads.emplace_back([&, c] { SubmitMany(*coordinator, c, jobs / clients, latencies[static_cast<size_t>(c)]); });
  }
  for (std::thread& thread : threads) thread.join();
  const double seconds = Since(begin);
  std::vector<double> all;
  for (const auto& part : latencies) all.insert(all.end(), part.begin(), part.end());
  std::printf("durable submissions, %d clients: %.0f/s, p50 %.1f ms, p99 %.1f ms\n", clients,
              static_cast<double>(all.size()) / seconds, 1e3 * Percentile(all, 0.5), 1e3 * Percentile(all, 0.99));

  auto stub = coordinator->Connect();
  std::vector<double> lists;
  for (int i = 0; i < 200; ++i) {
    v1::ListJobsResponse response;
    const auto at = Clock::now();
    if (!stub->ListJobs(TestCoordinator::Context().get(), {}, &response).ok()) std::abort();
    lists.push_back(Since(at));
  }
  std::printf("list of 100 of %zu jobs: p50 %.1f ms, p99 %.1f ms; %.1f MB\n", all.size(), 1e3 * Percentile(lists, 0.5),
              1e3 * Percentile(lists, 0.99), coordinator->Megabytes());

  coordinator->child->Signal(SIGKILL);
  coordinator.reset();
  coordinator = std::make_unique<Coordinator>(dir.path());
  std::printf("kill -9 -> serving with %zu jobs: %.3f s, %.1f MB\n", all.size(), coordinator->start_seconds,
              coordinator->Megabytes());
}

}  // namespace
}  // namespace pixelrec::coordinator

int main(int argc, char** argv) {
  const int jobs = argc > 1 ? std::atoi(argv[1]) : 10000;
  const int clients = argc > 2 ? std::atoi(argv[2]) : 8;
  pixelrec::coordinator::BenchDecisions(jobs);
  pixelrec::coordinator::Run(jobs, clients);
}
