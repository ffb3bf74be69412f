#include "worker/agent/session.h"

#include <algorithm>

#include "google/protobuf/util/time_util.h"

namespace pixelrec::agent {
namespace {

using std::chrono::milliseconds;

// A coordinator that leaves a term out, or sends nonsense, doesn't make us spin.
milliseconds TermOr(const google::protobuf::Duration& term, milliseconds fallback) {
  const milliseconds value(google::protobuf::util::TimeUtil::DurationToMilliseconds(term));
  return value > milliseconds(0) ? value : fallback;
}

}  // namespace

Session::Step Session::Tick(Time now) {
  Step step;
  switch (state_) {
    case State::kWaiting:
      if (now < next_attempt_) break;
      state_ = State::kOpening;
      attempt_deadline_ = now + options_.attempt_timeout;
      step.open = true;
      break;
    case State::kOpening:
      step.drop = now >= attempt_deadline_;
      break;
    case State::kRegistered:
      // Every beat is acknowledged. Silence for a lease means that the coordinator has given us up, or is cut off.
      if (now >= last_heard_ + lease_) {
        step.drop = true;
      } else if (now >= next_beat_) {
        step.beat = ++beats_;
        next_beat_ = now + beat_interval_;
      }
      break;
  }
  return step;
}

Time Session::NextDue() const {
  switch (state_) {
    case State::kWaiting:
      return next_attempt_;
    case State::kOpening:
      return attempt_deadline_;
    case State::kRegistered:
      return std::min(next_beat_, last_heard_ + lease_);
  }
  return next_attempt_;
}

void Session::OnRegistered(const v1::Registered& terms, Time now) {
  lease_ = TermOr(terms.lease(), milliseconds(2000));
  beat_interval_ = TermOr(terms.beat_interval(), milliseconds(500));
  orphan_grace_ = TermOr(terms.orphan_grace(), milliseconds(600'000));
  state_ = State::kRegistered;
  last_heard_ = now;
  registered_at_ = now;
  next_beat_ = now + beat_interval_;
  lost_since_.reset();
}

// Decorrelated jitter: workers that lost one coordinator at once don't return at once.
void Session::OnClosed(Time now) {
  if (state_ == State::kRegistered) {
    lost_since_ = now;
    // A coordinator that closes each session at its first report (its journal's disk is full) isn't to be dialled without a
    // pause.
    if (now - registered_at_ >= beat_interval_) backoff_ = milliseconds(0);
  }
  state_ = State::kWaiting;
  const milliseconds low = options_.min_backoff;
  const milliseconds high = std::max(low, backoff_ * 3);
  backoff_ =
      std::min(options_.max_backoff, low + milliseconds(static_cast<int64_t>(options_.random() * double((high - low).count()))));
  next_attempt_ = now + backoff_;
}

}  // namespace pixelrec::agent
