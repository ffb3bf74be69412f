#include "coordinator/series/series.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace pixelrec::coordinator {

std::unique_ptr<Series> Series::Start(Options options) { return std::unique_ptr<Series>(new Series(std::move(options))); }

Series::Series(Options options) : options_(std::move(options)), thread_([this] { Run(); }) {}

Series::~Series() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  thread_.join();
}

void Series::Append(uint64_t job, int64_t record, v1::MetricPoint point) { Enqueue(Addition{job, record, std::move(point)}); }

void Series::Forget(uint64_t job) { Enqueue(Removal{job}); }

void Series::Read(uint64_t job, uint64_t after, size_t limit, std::function<void(absl::StatusOr<Page>)> done) {
  Enqueue(Question{job, after, limit, std::move(done)});
}

void Series::Enqueue(Item item) {
  absl::MutexLock lock(&mu_);
  if (const auto* addition = std::get_if<Addition>(&item)) {
    // A point without a number would not be missed by the next; there are few of these.
    if (additions_ >= options_.max_queued && addition->record > 0) {
      return;
    }
    ++additions_;
  }
  queue_.push_back(std::move(item));
}

void Series::Run() {
  const auto wanted = [this]() ABSL_SHARED_LOCKS_REQUIRED(mu_) { return !queue_.empty() || stopping_; };
  while (true) {
    std::vector<Item> items;
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(&wanted));
      items.swap(queue_);
      additions_ = 0;
      if (items.empty()) {
        return;
      }
    }
    const absl::Status open = Open();
    if (const absl::Status written = open.ok() ? Write(items) : open; !written.ok() || Writes(items)) {
      Complain(written);  // what was only read says nothing of the disk
    }
    for (Item& item : items) {
      if (auto* question = std::get_if<Question>(&item)) {
        question->done(open.ok() ? file_->Read(question->job, question->after, question->limit) : open);
      }
    }
  }
}

bool Series::Writes(const std::vector<Item>& items) {
  return std::any_of(items.begin(), items.end(), [](const Item& item) { return !std::holds_alternative<Question>(item); });
}

absl::Status Series::Open() {
  const auto now = std::chrono::steady_clock::now();
  if (file_ != nullptr || now < open_at_) {
    return file_ != nullptr ? absl::OkStatus() : unopened_;
  }
  open_at_ = now + options_.reopen_after;
  std::string note;
  absl::StatusOr<std::unique_ptr<SeriesFile>> file = SeriesFile::Open(options_.file, &note);
  unopened_ = file.status();
  if (file.ok()) {
    file_ = *std::move(file);
  }
  if (!note.empty() && options_.complain) {
    options_.complain(note);
  }
  return unopened_;
}

// One transaction for all that came meanwhile. If the disk refuses, points are lost, but what is to go still goes, and makes
// room.
absl::Status Series::Write(const std::vector<Item>& items) {
  if (!Writes(items)) {
    return absl::OkStatus();
  }
  const absl::Status status = Transact(items, true);
  if (!status.ok()) {
    Transact(items, false).IgnoreError();
  }
  return status;
}

absl::Status Series::Transact(const std::vector<Item>& items, bool with_additions) {
  return file_->Transact([&] {
    for (const Item& item : items) {
      absl::Status status;
      if (const auto* addition = std::get_if<Addition>(&item); addition != nullptr && with_additions) {
        status = file_->Append(addition->job, addition->record, addition->point);
      } else if (const auto* removal = std::get_if<Removal>(&item)) {
        status = file_->Forget(removal->job);
      }
      if (!status.ok()) {
        return status;
      }
    }
    return absl::OkStatus();
  });
}

void Series::Complain(const absl::Status& status) {
  if (!status.ok() && !complained_ && options_.complain) {
    options_.complain(absl::StrCat("metrics are not kept, jobs go on: ", status.message()));
  }
  complained_ = !status.ok();
}

}  // namespace pixelrec::coordinator
