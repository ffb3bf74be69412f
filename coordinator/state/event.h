// What the pure machine is told (Event) and what it wants done (Action).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/state/record.pb.h"
#include "pixelrec/v1/events.pb.h"
#include "pixelrec/v1/job_service.pb.h"
#include "pixelrec/v1/worker_service.pb.h"

namespace pixelrec::coordinator {

// One reading of both clocks. Leases and delays go by `steady`, what users see by `wall` (since the epoch).
struct Now {
  std::chrono::microseconds wall{0};
  std::chrono::microseconds steady{0};
};

// Who asks. Another's job is changed only by one who may change any.
struct Caller {
  std::string name;
  bool may_change_any = false;
};

// From clients. The spec has its defaults and has been validated.
struct Submit {
  std::string request_id;
  v1::JobSpec spec;
  int32_t global_batch_size = 0;
  Caller by = {};
};
struct Cancel {
  std::string job;
  bool now = false;
  std::string request_id;
  Caller by = {};
};
struct PauseJob {
  std::string job;
  bool now = false;
  std::string request_id;
  Caller by = {};
};
struct ResumeJob {
  std::string job;
  std::string request_id;
  Caller by = {};
};
struct DeleteJob {
  std::string job;
  std::string request_id;
  Caller by = {};
};
struct DrainWorker {
  std::string worker_id;
  v1::DrainMode mode = v1::DRAIN_MODE_UNSPECIFIED;
  std::string request_id;
};
struct UndrainWorker {
  std::string worker_id;
  std::string request_id;
};

// From worker sessions. `session` is unique for the life of the coordinator; what an older session of a worker says is ignored.
struct WorkerRegistered {
  std::string worker_id;
  uint64_t incarnation = 0;
  uint64_t session = 0;
  v1::RegisterWorker info;
};
struct WorkerBeat {
  std::string worker_id;
  uint64_t session = 0;
  uint64_t number = 0;
  std::vector<v1::RankPosition> positions = {};
};
struct WorkerDisconnected {
  std::string worker_id;
  uint64_t session = 0;
};
struct RankReported {
  std::string worker_id;
  uint64_t session = 0;
  v1::RankReport report;
};

// Time has passed.
struct Tick {};

using Event = std::variant<Submit, Cancel, PauseJob, ResumeJob, DeleteJob, DrainWorker, UndrainWorker, WorkerRegistered,
                           WorkerBeat, WorkerDisconnected, RankReported, Tick>;

struct SendToWorker {
  std::string worker_id;
  uint64_t session = 0;
  v1::SessionResponse message;
};
struct CloseSession {
  std::string worker_id;
  uint64_t session = 0;
  absl::Status status;
};
// For the watchers of the job. sequence 0: progress, not durable.
struct PublishEvent {
  uint64_t job_number = 0;
  v1::JobEvent event;
};

// For the job's series of metrics, ahead of the PublishEvent that tells of it. `record`: Progress.record; 0: none.
struct RecordPoint {
  uint64_t job_number = 0;
  int64_t record = 0;
  v1::MetricPoint point;
};

using Action = std::variant<SendToWorker, CloseSession, PublishEvent, RecordPoint>;

// Result of one step. Actions may be performed only after `records` are durable.
struct Outcome {
  absl::Status status;  // refusal of what a client asked for
  // What it is about.
  uint64_t job_number = 0;
  std::string worker_id;
  std::optional<Deletion> deletion;
  std::vector<Record> records;
  std::vector<Action> actions;
};

}  // namespace pixelrec::coordinator
