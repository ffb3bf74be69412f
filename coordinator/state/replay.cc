#include "coordinator/state/replay.h"

#include "absl/strings/str_cat.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"

namespace pixelrec::coordinator {

std::string CanonicalBytes(const google::protobuf::MessageLite& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

absl::Status ApplyRecord(State& state, absl::string_view bytes) {
  Record record;
  if (!record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::DataLossError("a journal record is not a Record message");
  }
  switch (record.body_case()) {
    case Record::kJob: {
      const uint64_t number = record.job().number();
      if (number == 0 || record.job().job().job_id().empty()) {
        return absl::DataLossError("a journal record holds a job without number or id");
      }
      state.jobs[number].record = std::move(*record.mutable_job());
      state.next_number = std::max(state.next_number, number + 1);
      state.Reindex(number);
      return absl::OkStatus();
    }
    case Record::kEvent: {
      auto it = state.by_id.find(record.event().job_id());
      if (it == state.by_id.end()) {
        return absl::DataLossError(
            absl::StrCat("a journal record is an event of the unknown job '", record.event().job_id(), "'"));
      }
      std::vector<v1::JobEvent>& events = state.jobs.at(it->second).events;
      if (record.event().sequence() != events.size() + 1) {
        return absl::DataLossError(absl::StrCat("event ", record.event().sequence(), " of job ", record.event().job_id(),
                                                " follows event ", events.size()));
      }
      events.push_back(std::move(*record.mutable_event()));
      return absl::OkStatus();
    }
    case Record::kWorker: {
      const std::string id = record.worker().worker_id();
      if (id.empty()) {
        return absl::DataLossError("a journal record holds a worker without id");
      }
      state.worker_records[id] = std::move(*record.mutable_worker());
      return absl::OkStatus();
    }
    case Record::kDeletion: {
      // Not there: the journal was compacted since.
      if (auto it = state.jobs.find(record.deletion().number()); it != state.jobs.end()) {
        state.Unindex(it->second);
        state.jobs.erase(it);
      }
      state.RememberDeletion(record.deletion());
      return absl::OkStatus();
    }
    case Record::BODY_NOT_SET:
      return absl::DataLossError(
          "a journal record is of a kind this version doesn't know: it was written by a newer coordinator");
  }
  return absl::OkStatus();
}

void FinishReplay(State& state, Now now) {
  state.last_tick = now.steady;
  if (!state.jobs.empty()) {
    state.preempts_from = now.steady + state.policy.lease;
  }
  const auto await = [&](const std::string& id) -> WorkerEntry& {
    WorkerEntry& worker = state.workers[id];
    worker.id = id;
    worker.lease_until = now.steady + state.policy.lease;
    worker.last_beat_wall = now.wall;
    worker.there_since = now.steady;
    return worker;
  };
  for (const auto& [id, record] : state.worker_records) {
    if (record.drain() != v1::DRAIN_MODE_UNSPECIFIED) {
      await(id).drain = record.drain();
    }
  }
  for (uint64_t number : state.live) {
    JobEntry& entry = state.jobs.at(number);
    const Gang& gang = entry.record.gang();
    for (const GangRank& rank : gang.ranks()) {
      WorkerEntry& worker = await(rank.worker_id());
      worker.incarnation = std::max(worker.incarnation, rank.incarnation());
      worker.info.set_host(rank.host());
      if (!rank.ended()) {
        worker.ranks[RankKey{entry.job().job_id(), entry.job().generation(), rank.rank()}] = std::chrono::microseconds::max();
      }
    }
    if (entry.job().state() == v1::JOB_STATE_STARTING && !gang.has_failure()) {
      entry.start_deadline = now.steady + state.policy.start_timeout;
    }
    if (entry.job().state() == v1::JOB_STATE_RUNNING) {
      entry.running_since = now.steady;
      entry.counted_until = now.steady;
    }
    if (gang.failure().cause() == v1::FAILURE_CAUSE_COLLECTIVE) {
      entry.kill_at = now.steady + state.policy.lease;
    }
  }
}

std::vector<std::string> SnapshotRecords(const State& state) {
  std::vector<std::string> records;
  for (const auto& [id, worker] : state.worker_records) {
    Record record;
    *record.mutable_worker() = worker;
    records.push_back(CanonicalBytes(record));
  }
  for (const Deletion& deletion : state.deletions) {
    Record record;
    *record.mutable_deletion() = deletion;
    records.push_back(CanonicalBytes(record));
  }
  for (const auto& [number, entry] : state.jobs) {
    Record record;
    *record.mutable_job() = entry.record;
    records.push_back(CanonicalBytes(record));
    for (const v1::JobEvent& event : entry.events) {
      *record.mutable_event() = event;
      records.push_back(CanonicalBytes(record));
    }
  }
  return records;
}

}  // namespace pixelrec::coordinator
