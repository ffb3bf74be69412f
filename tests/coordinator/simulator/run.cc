#include "tests/coordinator/simulator/run.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "tests/coordinator/simulator/accidents.h"
#include "tests/coordinator/simulator/clients.h"
#include "tests/coordinator/simulator/planted.h"

namespace pixelrec::simulator {

namespace {

using coordinator::Policy;

// What the machines, the policy and the load of this run are like.
struct Setting {
  explicit Setting(Dice& dice) {
    // A longer lease goes with slower jobs and longer accidents: the same interleavings, at less cost in beats.
    constexpr double kPaces[] = {1, 1, 2.5, 5, 15};
    pace = kPaces[dice.Below(5)];
    workers = static_cast<size_t>(dice.Between(1, 8));
    length = dice.Spread(Seconds(60 * pace), Seconds(1200 * pace));
    latency = dice.Spread(Seconds(0.0001), Seconds(0.02));
    policy.lease = std::chrono::milliseconds(static_cast<int>(2000 * pace));
    policy.beat_interval = policy.lease / 4;
    constexpr double kGraces[] = {10, 60, 600};
    policy.orphan_grace = std::chrono::seconds(static_cast<int>(kGraces[dice.Below(3)] * pace));
    policy.start_timeout = std::chrono::seconds(static_cast<int>((dice.Chance(0.5) ? 20 : 120) * pace));
    policy.stop_grace = std::chrono::seconds(static_cast<int>((dice.Chance(0.3) ? 1 : 30) * pace));
    policy.hang_floor = std::chrono::milliseconds(static_cast<int>(5000 * pace));
    policy.elastic_grow_after = std::chrono::seconds(static_cast<int>((dice.Chance(0.5) ? 3 : 30) * pace));
    policy.remember_lost_worker = std::chrono::seconds(static_cast<int>((dice.Chance(0.3) ? 20 : 600) * pace));
    compact_after = dice.Chance(0.5) ? dice.Between(5, 300) : 20000;
    clients.between = dice.Spread(Seconds(5 * pace), Seconds(120 * pace));
    clients.loss = dice.Chance(0.5) ? 0 : 0.3 * dice.Uniform();
    clients.cancel = dice.Chance(0.5) ? 0 : 0.5 * dice.Uniform();
    clients.pause = dice.Chance(0.5) ? 0 : 0.5 * dice.Uniform();
    clients.erase = dice.Chance(0.7) ? 0 : dice.Uniform();
    if (dice.Chance(0.3)) clients.between_drains = dice.Spread(Seconds(10 * pace), Seconds(200 * pace));
    if (dice.Chance(0.2)) policy.keep_ended_jobs = static_cast<size_t>(dice.Between(1, 10));
    if (dice.Chance(0.2)) policy.keep_ended_for = std::chrono::seconds(static_cast<int>(60 * pace));
  }
  double pace;
  size_t workers;
  microseconds length, latency;
  Policy policy;
  int64_t compact_after;
  Clients::Options clients;
};

class Run {
 public:
  explicit Run(const RunOptions& options)
      : options_(options),
        dice_(options.seed),
        setting_(dice_),
        trace_(timeline_),
        network_(timeline_, dice_.Split(), setting_.latency),
        ledger_(timeline_, setting_.workers),
        workload_(dice_.Split(), setting_.pace, static_cast<int>(setting_.workers)),
        promises_(setting_.policy, journal_, files_, workload_, ledger_, trace_),
        trainers_(timeline_, trace_, dice_.Split(), workload_, files_, ledger_, promises_),
        coordinator_({setting_.policy, setting_.compact_after}, timeline_, network_, journal_, trace_, dice_.Split(), promises_),
        clients_(setting_.clients, timeline_, network_, coordinator_, workload_, promises_, trace_, dice_.Split(),
                 setting_.workers) {
    std::vector<ClientEnd*> ends;
    for (size_t i = 0; i < setting_.workers; ++i) {
      workers_.push_back(
          std::make_unique<WorkerNode>(i, timeline_, network_, files_, trainers_, ledger_, trace_, dice_.Split(), promises_));
      ends.push_back(workers_.back().get());
    }
    network_.SetServer(&coordinator_);
    network_.SetClients(std::move(ends));
    journal_.OnAppended([this] { promises_.CatchUp(); });
    files_.OnRemove([this](const std::string& folder, const Saved& saved) { promises_.OnRemoved(folder, saved); });
    accidents_.emplace(
        Accidents::World{timeline_, network_, journal_, files_, trainers_, coordinator_, workers_, promises_, trace_},
        dice_.Split(), setting_.pace);
    PlantFault(options.planted, {journal_, coordinator_, workers_, trainers_, promises_});
  }

  RunResult Go() {
    coordinator_.Start();
    for (const auto& worker : workers_) {
      timeline_.At(dice_.Between(microseconds(0), Seconds(2)), [w = worker.get()] { w->Start(); });
    }
    clients_.Start(setting_.length);
    accidents_->Start(setting_.length);
    RunUntil(setting_.length, [] { return false; });
    if (!trace_.broken()) {
      clients_.Calm();
      accidents_->Calm();
    }
    // Long enough for every job one after the other, with the patience that a broken collective asks for.
    const microseconds limit = timeline_.now() + Seconds(6 * 3600 * setting_.pace);
    if (!RunUntil(limit, [this] { return AtRest(); }) && !trace_.broken()) trace_.Say("not at rest");
    // What is under way still arrives, and what is stale is told so.
    RunUntil(timeline_.now() + 3 * setting_.policy.lease, [] { return false; });
    if (!trace_.broken()) CheckAtRest();
    return Result();
  }

 private:
  template <typename Done>
  bool RunUntil(microseconds end, const Done& done) {
    uint64_t looked = 0;
    while (!trace_.broken() && timeline_.RunNext(end)) {
      if (++looked % 64 == 0 && done()) return true;
    }
    return done();
  }

  bool AtRest() const {
    if (!clients_.done() || !coordinator_.up() || !trainers_.alive().empty()) return false;
    const auto& jobs = coordinator_.state().jobs;
    return std::all_of(jobs.begin(), jobs.end(), [](const auto& job) { return job.second.ended(); }) &&
           std::all_of(workers_.begin(), workers_.end(), [](const auto& worker) { return worker->idle(); });
  }

  void CheckAtRest() {
    if (!clients_.done()) trace_.Break("a client still waits for an answer");
    for (uint64_t pid : trainers_.alive()) {
      const Trainer& trainer = trainers_.at(pid);
      trace_.Break("w", trainer.worker, " still runs ", trainer.order.job_id(), "/g", trainer.order.generation());
    }
    for (const auto& worker : workers_) {
      if (worker->up() && !worker->idle()) trace_.Break(worker->id(), " still keeps a rank");
    }
    promises_.CheckAtRest(coordinator_.state());
  }

  RunResult Result() {
    RunResult result;
    result.accounts = ledger_.Close();
    const microseconds all = timeline_.now() * static_cast<int64_t>(setting_.workers);
    if (result.accounts.total() != all) {
      trace_.Break("the buckets hold ", ToSeconds(result.accounts.total()), " s of ", ToSeconds(all), " s");
    }
    for (const auto& [id, record] : promises_.records()) {
      ++result.jobs;
      ++result.states[std::string(absl::StripPrefix(v1::JobState_Name(record.job().state()), "JOB_STATE_"))];
    }
    result.job_seconds = ToSeconds(promises_.job_time());
    result.seed = options_.seed;
    result.broken = trace_.broken();
    result.last_events = trace_.Last();
    result.virtual_seconds = ToSeconds(timeline_.now());
    result.digest = trace_.digest();
    result.events = timeline_.events();
    result.accidents = accidents_->counts();
    result.accidents.insert(clients_.counts().begin(), clients_.counts().end());
    return result;
  }

  const RunOptions options_;
  Dice dice_;
  const Setting setting_;
  Timeline timeline_;
  Trace trace_;
  Network network_;
  JournalDisk journal_;
  SharedFiles files_;
  Ledger ledger_;
  Workload workload_;
  Promises promises_;
  Trainers trainers_;
  CoordinatorNode coordinator_;
  Clients clients_;
  std::vector<std::unique_ptr<WorkerNode>> workers_;
  std::optional<Accidents> accidents_;
};

}  // namespace

std::string RunResult::Story() const {
  return absl::StrFormat(
      "seed %d, at %.6f s of virtual time: %s\n%s\nTo see it again: PIXELREC_SIMULATOR_SEED=%d "
      "build/tests/coordinator_simulator_test "
      "--gtest_filter=Simulator.OneSeed\n(PIXELREC_SIMULATOR_ALOUD=1 prints all that happens)\n",
      seed, virtual_seconds, broken.value_or("no promise was broken"), last_events, seed);
}

RunResult RunSeed(const RunOptions& options) { return Run(options).Go(); }

}  // namespace pixelrec::simulator
