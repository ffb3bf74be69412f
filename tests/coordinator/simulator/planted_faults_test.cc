// The simulator finds what is planted: without this, its silence would say nothing.
#include <gtest/gtest.h>

#include <iostream>

#include "tests/coordinator/simulator/run.h"

namespace pixelrec::simulator {
namespace {

struct Case {
  const char* name;
  Planted planted;
  uint64_t from = 1;  // a seed soon after which it shows
};

class PlantedFaults : public ::testing::TestWithParam<Case> {};

TEST_P(PlantedFaults, AreFound) {
  constexpr uint64_t kSeeds = 20;
  std::streambuf* const cerr = std::cerr.rdbuf(nullptr);
  for (uint64_t seed = GetParam().from; seed < GetParam().from + kSeeds; ++seed) {
    const RunResult result = RunSeed({.seed = seed, .planted = GetParam().planted});
    if (result.broken.has_value()) {
      std::cout << "seed " << seed << ": " << *result.broken << "\n";
      std::cerr.rdbuf(cerr);
      return;
    }
  }
  std::cerr.rdbuf(cerr);
  FAIL() << "not found with " << kSeeds << " seeds";
}

INSTANTIATE_TEST_SUITE_P(
    , PlantedFaults,
    ::testing::Values(Case{"JournalForgetsSubmission", Planted::kJournalForgetsSubmission},
                      Case{"JournalForgetsCommit", Planted::kJournalForgetsCommit},
                      Case{"OldGenerationCommits", Planted::kOldGenerationCommits, 32},
                      Case{"StagingIsShared", Planted::kStagingIsShared, 44}, Case{"OlderCheckpoint", Planted::kOlderCheckpoint},
                      Case{"StopsAreLost", Planted::kStopsAreLost}, Case{"ExitsAreLost", Planted::kExitsAreLost},
                      Case{"ReportIsLost", Planted::kReportIsLost}, Case{"ReportIsDoubled", Planted::kReportIsDoubled},
                      Case{"PausesAreForgotten", Planted::kPausesAreForgotten},
                      Case{"DeletionsAreForgotten", Planted::kDeletionsAreForgotten},
                      Case{"StartsAreRepeated", Planted::kStartsAreRepeated, 55}),
    [](const auto& planted) { return planted.param.name; });

}  // namespace
}  // namespace pixelrec::simulator
