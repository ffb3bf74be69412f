// Did a job visit every sample exactly once per epoch? What its history recorded, held against what its data and settings give.
//
// A record is a count and a digest of everything that the steps up to some step visited, whatever generations did them; it
// travels in the checkpoints, so that steps which were lost and done again count once.
//
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "pixelrec/v1/job_service.pb.h"

namespace pixelrec::ctl {

// From the start of training up to some step.
struct VisitedSamples {
  int64_t samples = 0;
  std::string digest;
  friend bool operator==(const VisitedSamples&, const VisitedSamples&) = default;
};

struct SampleRecord {
  int64_t step = 0;
  VisitedSamples visited;
  uint64_t generation = 0;
  std::string source;  // "epoch 2", "checkpoint step-40", "the result"
};

// In the order of the history. FAILED_PRECONDITION: nothing has been recorded yet.
absl::StatusOr<std::vector<SampleRecord>> SampleRecordsOf(const v1::Job& job, const v1::ListJobEventsResponse& history);

// What `pixelrec-trainer samples` prints.
struct ExpectedSamples {
  struct Epoch {
    int64_t epoch = 0;  // from 1
    int64_t step = 0;   // its last
    int64_t samples = 0;
    int64_t distinct = 0;
  };
  std::string data_hash;
  int64_t samples = 0;  // of the dataset
  std::vector<Epoch> epochs;
  std::map<int64_t, VisitedSamples> steps;
};
// INTERNAL: not what a trainer of this version prints.
absl::StatusOr<ExpectedSamples> ParseExpectedSamples(absl::string_view json);

struct AuditedEpoch {
  int64_t epoch = 0;
  int64_t first_step = 0;
  int64_t last_step = 0;
  bool whole = true;  // false: the epoch in hand, up to the newest record
  int64_t expected = 0;
  int64_t visited = 0;
  bool recorded = true;  // false: the job went on from another's checkpoint; a later record vouches for it
  bool equal = true;     // the digest
};

struct AuditedGeneration {
  uint64_t generation = 0;
  int32_t ranks = 0;
  int64_t from_step = 0;
  int64_t last_step = 0;  // that the history knows of
  int64_t kept_step = 0;  // what follows it was lost, and done again by the next generation
  std::string end;        // "trains", "done", "made room for more ranks", "WORKER_LOST: ..."
};

struct SampleAudit {
  std::string job_id;
  std::string data_hash;
  int64_t samples_per_epoch = 0;
  int64_t steps = 0;  // recorded
  std::vector<AuditedEpoch> epochs;
  std::vector<AuditedGeneration> generations;
  std::vector<std::string> problems;  // empty: every sample was visited exactly once per epoch
};
SampleAudit AuditSamples(const v1::Job& job, const v1::ListJobEventsResponse& history, const std::vector<SampleRecord>& records,
                         const ExpectedSamples& expected);

}  // namespace pixelrec::ctl
