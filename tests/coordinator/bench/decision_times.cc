#include "tests/coordinator/bench/decision_times.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "coordinator/state/step.h"

namespace pixelrec::coordinator {
namespace {

// Of this thread, so that what else runs on the machine isn't counted.
double CpuMilliseconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return 1e3 * static_cast<double>(now.tv_sec) + 1e-6 * static_cast<double>(now.tv_nsec);
}

// 256 workers, most of them busy with jobs of one or two ranks; in front of the queue one that needs 64, behind it thousands that
// may not pass it, or only if their time limits allow; some would preempt if that helped.
class Cluster {
 public:
  explicit Cluster(int jobs) {
    for (int i = 0; i < kWorkers; ++i) {
      WorkerRegistered registered{"w" + std::to_string(i), 1, static_cast<uint64_t>(i + 1), {}};
      registered.info.set_host("h");
      Step(registered);
    }
    for (int i = 0; i < kRunning; ++i) Start(i);
    Submit("front", 64, 70, 0);
    for (int i = 0; i < jobs; ++i) {
      Submit("q" + std::to_string(i), 1 + i % 8 * 4, 40 + i % 25, i % 3 == 0 ? 7300 + i : 0);
    }
  }

  // CPU time of one step, its records thrown away.
  double Step(const Event& event) {
    const double begin = CpuMilliseconds();
    last_ = coordinator::Step(state_, event, now_);
    const double milliseconds = CpuMilliseconds() - begin;
    state_.Accept();
    return milliseconds;
  }
  void Advance() {
    now_.wall += std::chrono::milliseconds(1);
    now_.steady += std::chrono::milliseconds(1);
  }
  double Submit(const std::string& name, int workers, int priority, int limit) {
    coordinator::Submit submit;
    submit.spec.set_name(name);
    submit.spec.set_output_dir("/results/" + name);
    submit.spec.mutable_distributed()->set_min_workers(workers);
    submit.spec.mutable_distributed()->set_max_workers(workers);
    submit.spec.mutable_scheduling()->set_priority(priority);
    if (limit > 0) submit.spec.mutable_scheduling()->mutable_time_limit()->set_seconds(limit);
    return Step(submit);
  }
  // The exit of a running job's rank: a worker becomes idle.
  double Exit(int job) {
    RankReported exit = Reported(job);
    exit.report.mutable_trainer()->mutable_result();
    exit.report.set_sequence(98);
    Step(exit);
    exit.report.mutable_exited();
    exit.report.set_sequence(99);
    return Step(exit);
  }
  size_t waiting() const { return state_.waiting.size(); }

  static constexpr int kWorkers = 256, kRunning = 240;

 private:
  RankReported Reported(int job) {
    const JobEntry& entry = state_.jobs.at(static_cast<uint64_t>(job) + 1);
    const GangRank& rank = entry.record.gang().ranks(0);
    RankReported reported{rank.worker_id(), state_.workers.at(rank.worker_id()).session, {}};
    reported.report.set_job_id(entry.job().job_id());
    reported.report.set_generation(entry.job().generation());
    return reported;
  }
  void Start(int job) {
    Submit("r" + std::to_string(job), 1, 60, job % 2 == 0 ? 7200 : 0);
    RankReported report = Reported(job);
    report.report.mutable_trainer()->mutable_dataset_prepared()->set_data_hash("h");
    report.report.set_sequence(1);
    Step(report);
    report.report.mutable_exited();
    report.report.set_sequence(2);
    Step(report);
    report = Reported(job);
    report.report.mutable_trainer()->mutable_training_started();
    report.report.set_sequence(1);
    Step(report);
  }

  State state_{Policy()};
  Now now_{std::chrono::seconds(1767225600), std::chrono::seconds(1000)};
  Outcome last_;
};

void Print(const char* what, std::vector<double> milliseconds, size_t waiting) {
  std::sort(milliseconds.begin(), milliseconds.end());
  const auto at = [&](double share) {
    return milliseconds[static_cast<size_t>(share * static_cast<double>(milliseconds.size() - 1))];
  };
  std::printf("decision with %zu queued jobs, %s: CPU p50 %.2f ms, p99 %.2f ms, most %.2f ms\n", waiting, what, at(0.5), at(0.99),
              milliseconds.back());
}

}  // namespace

void BenchDecisions(int jobs) {
  Cluster cluster(jobs);
  std::vector<double> ticks, submissions, exits;
  const size_t waiting = cluster.waiting();
  for (int i = 0; i < 300; ++i) {
    cluster.Advance();
    ticks.push_back(cluster.Step(Tick{}));
  }
  for (int i = 0; i < 100; ++i) {
    cluster.Advance();
    submissions.push_back(cluster.Submit("s" + std::to_string(i), 2, 30, 0));
  }
  for (int i = 0; i < 40; ++i) {
    cluster.Advance();
    exits.push_back(cluster.Exit(i));
  }
  Print("a tick", ticks, waiting);
  Print("a submission", submissions, waiting);
  Print("a worker becomes idle", exits, waiting);
}

}  // namespace pixelrec::coordinator
