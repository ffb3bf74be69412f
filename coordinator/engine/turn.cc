#include "coordinator/engine/turn.h"

#include <algorithm>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "common/process/crash_point.h"
#include "common/rpc/reasons.h"
#include "coordinator/engine/instruments.h"
#include "coordinator/series/series.h"
#include "coordinator/state/replay.h"
#include "coordinator/state/step.h"
#include "coordinator/state/view.h"

namespace pixelrec::coordinator {

namespace {

// Ticks whose decisions the journal refused are tried again after this.
constexpr std::chrono::seconds kRefusedPause{1};

}  // namespace

Turn::Turn(Options options, RecordLog& journal)
    : options_(std::move(options)), journal_(journal), state_(options_.policy), compact_at_(options_.compact_after) {}

absl::Status Turn::Replay(Now now) {
  now_ = now;
  if (absl::Status status = journal_.Replay([this](absl::string_view bytes) { return ApplyRecord(state_, bytes); });
      !status.ok()) {
    return status;
  }
  FinishReplay(state_, now_);
  if (options_.instruments != nullptr) {
    options_.instruments->Replayed(state_);
  }
  MaybeCompact();
  return absl::OkStatus();
}

std::chrono::microseconds Turn::NextDeadline() const { return std::max(coordinator::NextDeadline(state_), refused_until_); }

void Turn::SendTo(uint64_t session, v1::SessionResponse message) {
  if (auto it = sessions_.find(session); it != sessions_.end()) {
    it->second->Send(std::move(message));
  }
}

void Turn::Listen(uint64_t job_number, std::shared_ptr<JobListener> listener) {
  listeners_[job_number].push_back(std::move(listener));
  if (options_.instruments != nullptr) {
    options_.instruments->Subscribers(+1);
  }
}

void Turn::Unlisten(uint64_t job_number, const std::shared_ptr<JobListener>& listener) {
  auto it = listeners_.find(job_number);
  if (it == listeners_.end() || std::erase(it->second, listener) == 0) {
    return;
  }
  if (it->second.empty()) {
    listeners_.erase(it);
  }
  if (options_.instruments != nullptr) {
    options_.instruments->Subscribers(-1);
  }
}

void Turn::Process(std::vector<Item> items, Now now) {
  now_ = now;
  std::vector<Outcome> outcomes;
  outcomes.reserve(items.size());
  for (const Item& item : items) {
    const auto* event = std::get_if<Event>(&item.work);
    outcomes.push_back(event != nullptr && !IsTooLate(*event) ? Step(state_, *event, now_) : Outcome());
  }
  process::CrashPoint("turn.decided");
  if (absl::Status status = Commit(outcomes); status.ok()) {
    Perform(items, outcomes);
    process::CrashPoint("turn.performed");
    state_.Accept();
    MaybeCompact();
  } else {
    state_.Rollback();
    refused_until_ = now_.steady + kRefusedPause;
    Refuse(items, status);
  }
  for (Item& item : items) {
    if (auto* read = std::get_if<Reader>(&item.work)) {
      (*read)(&state_, now_);
    }
  }
}

// A report that was read before its session closed, behind one that was refused: taken now, it would overtake that one, which its
// acknowledgement would then acknowledge too.
bool Turn::IsTooLate(const Event& event) const {
  const auto* reported = std::get_if<RankReported>(&event);
  return reported != nullptr && !sessions_.contains(reported->session);
}

absl::Status Turn::Commit(const std::vector<Outcome>& outcomes) {
  std::vector<std::string> records;
  for (const Outcome& outcome : outcomes) {
    for (const Record& record : outcome.records) {
      records.push_back(record.SerializeAsString());
    }
  }
  if (records.empty()) {
    return absl::OkStatus();
  }
  const auto begin = std::chrono::steady_clock::now();
  absl::Status status = journal_.Append(records);
  if (options_.instruments != nullptr) {
    options_.instruments->Committed(std::chrono::steady_clock::now() - begin, journal_.SizeBytes());
  }
  if (status.ok()) {
    refused_until_ = std::chrono::microseconds(0);  // it takes records again: what is due needn't wait any longer
  } else {
    std::cerr << "journal refuses: " << status.message() << std::endl;
    status = rpc::Refuse(absl::StatusCode::kResourceExhausted, rpc::kJournalUnwritable, status.message());
  }
  return status;
}

void Turn::Perform(std::vector<Item>& items, std::vector<Outcome>& outcomes) {
  for (size_t i = 0; i < items.size(); ++i) {
    Item& item = items[i];
    Outcome& outcome = outcomes[i];
    auto* event = std::get_if<Event>(&item.work);
    if (event == nullptr) {
      continue;
    }
    if (const auto* registered = std::get_if<WorkerRegistered>(event)) {
      sessions_[registered->session] = std::move(item.sink);
    } else if (const auto* gone = std::get_if<WorkerDisconnected>(event)) {
      sessions_.erase(gone->session);
    }
    if (options_.series != nullptr) {
      KeepSeries(outcome);
    }
    for (Action& action : outcome.actions) {
      process::CrashPoint("turn.acts");
      Act(action);
    }
    if (outcome.deletion.has_value()) {
      DropListeners(*outcome.deletion);
    }
    if (options_.instruments != nullptr) {
      options_.instruments->Stepped(state_, *event, outcome, now_);
    }
    process::CrashPoint("turn.acts");
    if (item.reply) {
      item.reply(MakeAnswer(outcome));
    }
    if (item.done) {
      item.done();
    }
  }
}

Turn::Answer Turn::MakeAnswer(const Outcome& outcome) const {
  Answer answer{.status = outcome.status, .deletion = outcome.deletion.value_or(Deletion())};
  if (const JobEntry* job = state_.Find(outcome.job_number)) {
    answer.job = ViewJob(state_, *job, now_);
  }
  if (auto worker = state_.workers.find(outcome.worker_id); worker != state_.workers.end()) {
    answer.worker = ViewWorker(worker->second);
  }
  return answer;
}

void Turn::DropListeners(const Deletion& deletion) {
  auto it = listeners_.find(deletion.number());
  if (it == listeners_.end()) {
    return;
  }
  for (const std::shared_ptr<JobListener>& listener : it->second) {
    listener->Stopped(
        rpc::Refuse(absl::StatusCode::kNotFound, rpc::kJobNotFound, absl::StrCat("job ", deletion.job_id(), " was deleted")));
  }
}

// A new job's number is a new one, unless the journal was lost and its numbers begin again: then an older job's series is not
// this one's.
void Turn::KeepSeries(const Outcome& outcome) {
  for (const Action& action : outcome.actions) {
    if (const auto* record = std::get_if<RecordPoint>(&action)) {
      options_.series->Append(record->job_number, record->record, record->point);
    } else if (const auto* publish = std::get_if<PublishEvent>(&action);
               publish != nullptr && publish->event.has_state_change() &&
               publish->event.state_change().from() == v1::JOB_STATE_UNSPECIFIED) {
      options_.series->Forget(publish->job_number);
    }
  }
  for (const Record& record : outcome.records) {
    if (record.has_deletion()) options_.series->Forget(record.deletion().number());
  }
}

void Turn::Act(Action& action) {
  if (auto* send = std::get_if<SendToWorker>(&action)) {
    SendTo(send->session, std::move(send->message));
  } else if (auto* close = std::get_if<CloseSession>(&action)) {
    if (auto it = sessions_.find(close->session); it != sessions_.end()) {
      it->second->Close(close->status);
      sessions_.erase(it);
    }
  } else if (auto* publish = std::get_if<PublishEvent>(&action)) {
    if (auto it = listeners_.find(publish->job_number); it != listeners_.end()) {
      const uint64_t length = state_.Find(publish->job_number)->events.size();
      for (const std::shared_ptr<JobListener>& listener : it->second) {
        listener->Changed(length);
      }
    }
  }
}

void Turn::Refuse(std::vector<Item>& items, const absl::Status& status) {
  for (Item& item : items) {
    auto* event = std::get_if<Event>(&item.work);
    if (event == nullptr) {
      continue;
    }
    if (const auto* reported = std::get_if<RankReported>(event)) {
      if (auto it = sessions_.find(reported->session); it != sessions_.end()) {
        it->second->Close(status);
        sessions_.erase(it);
      }
    } else if (const auto* gone = std::get_if<WorkerDisconnected>(event)) {
      // It changes nothing durable by itself: take it again, alone.
      const Outcome outcome = Step(state_, *gone, now_);
      if (outcome.records.empty()) {
        state_.Accept();
      } else {
        state_.Rollback();
      }
      sessions_.erase(gone->session);
    }
    if (item.sink != nullptr) {
      item.sink->Close(status);
    }
    if (item.reply) {
      item.reply({.status = status});
    }
    if (item.done) {
      item.done();
    }
  }
}

void Turn::MaybeCompact() {
  if (journal_.tail_length() < compact_at_) {
    return;
  }
  absl::Status status = journal_.Compact(SnapshotRecords(state_));
  if (status.ok()) {
    compact_at_ = options_.compact_after;
  } else {
    std::cerr << "journal not compacted: " << status.message() << std::endl;
    compact_at_ = 2 * journal_.tail_length();
  }
}

void Turn::Farewell(std::vector<Item> items, const absl::Status& status) {
  Refuse(items, status);
  for (Item& item : items) {
    if (auto* read = std::get_if<Reader>(&item.work)) {
      (*read)(nullptr, now_);
    }
  }
  for (auto& [session, sink] : sessions_) {
    sink->Close(status);
  }
  sessions_.clear();
  for (auto& [number, listeners] : listeners_) {
    for (auto& listener : listeners) {
      listener->Stopped(status);
    }
  }
  listeners_.clear();
}

}  // namespace pixelrec::coordinator
