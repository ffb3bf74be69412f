#include "worker/dist/whereabouts.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace pixelrec::dist {
namespace {

constexpr size_t kRemembered = 31;
constexpr size_t kEnough = 3;

}  // namespace

void Whereabouts::Durations::Add(std::chrono::nanoseconds duration) {
  newest_.push_back(duration);
  if (newest_.size() > kRemembered) newest_.pop_front();
}

std::optional<std::chrono::nanoseconds> Whereabouts::Durations::Median() const {
  if (newest_.size() < kEnough) return std::nullopt;
  std::vector<std::chrono::nanoseconds> sorted(newest_.begin(), newest_.end());
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  return *middle;
}

Whereabouts::Whereabouts(Options options) : options_(std::move(options)), section_since_(options_.now()) {
  const std::lock_guard lock(mutex_);
  Publish();
}

void Whereabouts::Enter(Section section) {
  const std::lock_guard lock(mutex_);
  const Time now = options_.now();
  sections_[place_.section].Add(now - std::exchange(section_since_, now));
  place_.section = section;
  Publish();
}

void Whereabouts::BeginStep(int64_t steps_done) {
  const std::lock_guard lock(mutex_);
  place_.step = steps_done;
  step_since_ = options_.now();
  Publish();
}

void Whereabouts::EndStep() {
  const std::lock_guard lock(mutex_);
  steps_.Add(options_.now() - step_since_);
}

void Whereabouts::Arrive() {
  const std::lock_guard lock(mutex_);
  ++place_.collective;
  Publish();
}

void Whereabouts::BeginWait() {
  const std::lock_guard lock(mutex_);
  wait_since_ = options_.now();
  place_.waits = true;
  Publish();
}

void Whereabouts::EndWait() {
  const std::lock_guard lock(mutex_);
  section_since_ += options_.now() - wait_since_;
  place_.waits = false;
  Publish();
}

void Whereabouts::Publish() {
  place_.since = place_.waits ? wait_since_ : section_since_;
  place_.typical = place_.waits ? steps_.Median() : sections_[place_.section].Median();
  options_.publish(place_);
}

}  // namespace pixelrec::dist
