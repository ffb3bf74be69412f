// One run: a whole control plane in one thread, its length of virtual time and everything that happens in it drawn from the seed.
//
//   const RunResult result = RunSeed({.seed = 7});
//   if (result.broken) std::cout << result.Story();
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "tests/coordinator/simulator/ledger.h"

namespace pixelrec::simulator {

// Faults that are planted to see that they are found.
enum class Planted {
  kNone,
  kJournalForgetsSubmission,  // says that it is durable
  kJournalForgetsCommit,
  kOldGenerationCommits,  // what an older generation stages is taken for the newest one's
  kStagingIsShared,       // by all generations
  kOlderCheckpoint,       // a generation is told to go on from the last but one
  kStopsAreLost,          // so that a rank of an ended job lives on
  kExitsAreLost,
  kReportIsLost,
  kReportIsDoubled,
  kPausesAreForgotten,  // though they were acknowledged
  kDeletionsAreForgotten,
  kStartsAreRepeated,  // a worker starts a rank again that it had started
};

struct RunOptions {
  uint64_t seed = 1;
  Planted planted = Planted::kNone;
};

struct RunResult {
  uint64_t seed = 0;
  std::optional<std::string> broken;
  std::string last_events;  // in words
  double virtual_seconds = 0;
  uint64_t digest = 0;  // of all that happened
  uint64_t events = 0;
  int jobs = 0;
  double job_seconds = 0;                // from submission to end, of all jobs
  std::map<std::string, int> states;     // jobs by the state in which they ended
  std::map<std::string, int> accidents;  // by kind
  Accounts accounts;

  // For whoever reads of a broken promise.
  std::string Story() const;
};

RunResult RunSeed(const RunOptions& options);

}  // namespace pixelrec::simulator
