// Runs of the simulator. In `make test` a slice; with PIXELREC_SIMULATOR_SECONDS=60 as many seeds as that time allows, from
// PIXELREC_SIMULATOR_FROM on (`make sim`).
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <iostream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "tests/coordinator/simulator/run.h"

namespace pixelrec::simulator {
namespace {

using Clock = std::chrono::steady_clock;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  uint64_t number = otherwise;
  return text != nullptr && absl::SimpleAtoi(text, &number) ? number : otherwise;
}

// The journal's complaints about its full disk, and the like, are part of the play.
class Simulator : public ::testing::Test {
 protected:
  void SetUp() override { cerr_ = std::cerr.rdbuf(nullptr); }
  void TearDown() override { std::cerr.rdbuf(cerr_); }

 private:
  std::streambuf* cerr_ = nullptr;
};

struct Sum {
  int seeds = 0, jobs = 0;
  double virtual_seconds = 0, job_seconds = 0;
  uint64_t events = 0;
  std::map<std::string, int> states, accidents;
  Accounts accounts;

  void Add(const RunResult& result) {
    ++seeds;
    jobs += result.jobs;
    virtual_seconds += result.virtual_seconds;
    job_seconds += result.job_seconds;
    events += result.events;
    for (const auto& [state, count] : result.states) states[state] += count;
    for (const auto& [kind, count] : result.accidents) accidents[kind] += count;
    accounts.Add(result.accounts);
  }

  void Print(uint64_t first, double seconds) const {
    std::cout << absl::StreamFormat(
        "%d seeds from %d: %d jobs, %.0f job-hours in %.0f virtual hours, %d events; %.0f job-hours a minute\n", seeds, first,
        jobs, job_seconds / 3600, virtual_seconds / 3600, events, job_seconds / 60 / seconds);
    std::cout << "jobs ended:\n";
    for (const auto& [state, count] : states) std::cout << absl::StreamFormat("  %-40s %9d\n", state, count);
    std::cout << "what went wrong:\n";
    for (const auto& [kind, count] : accidents) std::cout << absl::StreamFormat("  %-40s %9d\n", kind, count);
    std::cout << absl::StreamFormat("worker-hours, goodput %.1f %% of those with work:\n", 100 * accounts.goodput())
              << accounts.InWords();
  }
};

TEST_F(Simulator, KeepsThePromises) {
  const uint64_t first = FromEnvironment("PIXELREC_SIMULATOR_FROM", 1);
  const double seconds = static_cast<double>(FromEnvironment("PIXELREC_SIMULATOR_SECONDS", 0));
  constexpr uint64_t kSlice = 16;
  const Clock::time_point begin = Clock::now();
  const auto passed = [begin] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  Sum sum;
  for (uint64_t seed = first; seconds > 0 ? passed() < seconds : seed < first + kSlice; ++seed) {
    const RunResult result = RunSeed({.seed = seed});
    sum.Add(result);
    ASSERT_FALSE(result.broken.has_value()) << result.Story();
  }
  sum.Print(first, passed());
}

TEST_F(Simulator, OneSeed) {
  const uint64_t seed = FromEnvironment("PIXELREC_SIMULATOR_SEED", 1);
  const RunResult result = RunSeed({.seed = seed});
  EXPECT_FALSE(result.broken.has_value()) << result.Story();
}

TEST_F(Simulator, RepeatsARunFromItsSeed) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const RunResult once = RunSeed({.seed = seed}), again = RunSeed({.seed = seed});
    EXPECT_EQ(once.digest, again.digest);
    EXPECT_EQ(once.events, again.events);
    EXPECT_EQ(once.last_events, again.last_events);
    EXPECT_NE(once.digest, RunSeed({.seed = seed + 5}).digest);
  }
}

}  // namespace
}  // namespace pixelrec::simulator
