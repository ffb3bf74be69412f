#include "worker/agent/report_buffer.h"

#include "absl/strings/str_cat.h"

namespace pixelrec::agent {
namespace {

// Far more ranks than can have reports under way at once.
constexpr size_t kMaxSequences = 4096;

bool IsProgress(const v1::RankReport& report) { return report.trainer().has_progress(); }

v1::RankReport TooLarge(const v1::RankReport& report) {
  v1::RankReport replacement;
  SetKey(KeyOf(report), replacement);
  SetKey(KeyOf(report), *replacement.mutable_trainer());
  v1::Notice& notice = *replacement.mutable_trainer()->mutable_notice();
  notice.set_severity(v1::NOTICE_SEVERITY_WARNING);
  notice.set_rank(report.rank());
  notice.set_text(absl::StrCat("a report of ", report.ByteSizeLong(), " bytes was left out: at most ",
                               ReportBuffer::kMaxReportBytes, " can be sent"));
  return replacement;
}

}  // namespace

void ReportBuffer::Add(v1::RankReport report) {
  if (report.ByteSizeLong() > kMaxReportBytes) report = TooLarge(report);
  if (IsProgress(report)) {
    for (auto it = next_; it != kept_.end(); ++it) {
      if (IsProgress(*it) && KeyOf(*it) == KeyOf(report)) {
        Remove(it);
        break;
      }
    }
  }
  bytes_ += report.ByteSizeLong();
  const auto added = kept_.insert(kept_.end(), std::move(report));
  if (next_ == kept_.end()) next_ = added;
}

std::optional<v1::RankReport> ReportBuffer::TakeNext() {
  if (!has_next()) return std::nullopt;
  if (next_->sequence() == 0) next_->set_sequence(NextSequence(KeyOf(*next_)));
  v1::RankReport report = *next_;
  if (IsProgress(report)) {
    Remove(next_);
  } else {
    ++next_;
  }
  return report;
}

void ReportBuffer::Acknowledge(const v1::ReportAck& ack) {
  const RankKey key = KeyOf(ack);
  for (auto it = kept_.begin(); it != next_;) {
    const bool done = it->sequence() <= ack.sequence() && KeyOf(*it) == key;
    it = done ? Remove(it) : std::next(it);
  }
}

void ReportBuffer::ForgetOlder(const std::string& job_id, uint64_t generation) {
  for (auto it = kept_.begin(); it != kept_.end();) {
    const bool older = it->job_id() == job_id && it->generation() < generation && !it->has_exited();
    it = older ? Remove(it) : std::next(it);
  }
}

ReportBuffer::Kept::iterator ReportBuffer::Remove(Kept::iterator it) {
  bytes_ -= std::min(bytes_, it->ByteSizeLong());
  const bool was_next = it == next_;
  const auto after = kept_.erase(it);
  if (was_next) next_ = after;
  return after;
}

uint64_t ReportBuffer::NextSequence(const RankKey& key) {
  const auto [it, fresh] = sequences_.try_emplace(key, 0);
  if (fresh) {
    sequence_order_.push_back(key);
    if (sequence_order_.size() > kMaxSequences) {
      sequences_.erase(sequence_order_.front());
      sequence_order_.pop_front();
    }
  }
  return ++it->second;
}

}  // namespace pixelrec::agent
