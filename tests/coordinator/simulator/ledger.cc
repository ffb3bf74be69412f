#include "tests/coordinator/simulator/ledger.h"

#include <numeric>

#include "absl/strings/str_format.h"

namespace pixelrec::simulator {

namespace {

constexpr const char* kNames[kBuckets] = {"away", "idle", "prepare", "init", "train", "stalled", "stopping"};

}  // namespace

microseconds Accounts::total() const {
  const microseconds trained = buckets[static_cast<size_t>(Bucket::kTrain)];
  return std::accumulate(buckets.begin(), buckets.end(), microseconds(0)) - trained + kept + lost;
}

double Accounts::goodput() const {
  const microseconds unused = buckets[static_cast<size_t>(Bucket::kAway)] + buckets[static_cast<size_t>(Bucket::kIdle)];
  const microseconds used = total() - unused;
  return used.count() == 0 ? 0 : static_cast<double>(kept.count()) / static_cast<double>(used.count());
}

void Accounts::Add(const Accounts& other) {
  for (size_t i = 0; i < buckets.size(); ++i) buckets[i] += other.buckets[i];
  kept += other.kept;
  lost += other.lost;
}

std::string Accounts::InWords() const {
  std::string text;
  const double all = ToSeconds(total());
  const auto line = [&](const char* name, microseconds time) {
    absl::StrAppendFormat(&text, "  %-12s %12.1f h  %5.1f %%\n", name, ToSeconds(time) / 3600, 100 * ToSeconds(time) / all);
  };
  for (int i = 0; i < kBuckets; ++i) {
    if (i != static_cast<int>(Bucket::kTrain)) {
      line(kNames[i], buckets[static_cast<size_t>(i)]);
    } else {
      line("train, kept", kept);
      line("train, lost", lost);
    }
  }
  return text;
}

Ledger::Ledger(const Timeline& timeline, size_t workers) : timeline_(timeline), workers_(workers) {}

void Ledger::Settle(Training& training) {
  training.done += training.workers * (timeline_.now() - training.since);
  training.since = timeline_.now();
}

void Ledger::Enter(size_t index, Bucket bucket, const GangId& gang) {
  Worker& worker = workers_[index];
  accounts_.buckets[static_cast<size_t>(worker.bucket)] += timeline_.now() - worker.since;
  if (worker.bucket == Bucket::kTrain) {
    Training& before = trainings_[worker.gang];
    Settle(before);
    --before.workers;
  }
  worker = {bucket, timeline_.now(), gang};
  if (bucket == Bucket::kTrain) {
    Training& training = trainings_[gang];
    Settle(training);
    ++training.workers;
  }
}

void Ledger::Mark(const GangId& gang, int64_t step) {
  Training& training = trainings_[gang];
  Settle(training);
  training.marks[step] = training.done;
}

void Ledger::OnCommitted(const GangId& gang, int64_t step) {
  Training& training = trainings_[gang];
  if (auto mark = training.marks.find(step); mark != training.marks.end()) training.kept = std::max(training.kept, mark->second);
}

void Ledger::OnResult(const GangId& gang) {
  Training& training = trainings_[gang];
  Settle(training);
  training.kept = training.done;
}

Accounts Ledger::Close() {
  for (size_t i = 0; i < workers_.size(); ++i) Enter(i, Bucket::kAway);
  for (auto& [id, training] : trainings_) {
    accounts_.kept += training.kept;
    accounts_.lost += training.done - training.kept;
  }
  return accounts_;
}

}  // namespace pixelrec::simulator
