#include "worker/agent/hang_watch.h"

#include <algorithm>

#include "google/protobuf/util/time_util.h"

namespace pixelrec::agent {

using google::protobuf::util::TimeUtil;
using std::chrono::nanoseconds;

v1::RankPosition ToProto(const RankKey& key, const channel::Position& position, Time now) {
  v1::RankPosition out;
  SetKey(key, out);
  // A number that this version doesn't know is an unspecified section to the coordinator, too.
  if (v1::TrainerSection_IsValid(position.section)) out.set_section(static_cast<v1::TrainerSection>(position.section));
  out.set_step(position.step);
  out.set_collective(position.collective);
  out.set_waits(position.waits);
  const auto lasts = std::max(now - position.since, Time::duration(0));
  *out.mutable_lasts() = TimeUtil::NanosecondsToDuration(nanoseconds(lasts).count());
  if (position.typical.has_value()) *out.mutable_typical() = TimeUtil::NanosecondsToDuration(position.typical->count());
  return out;
}

void HangWatch::OnRegistered(const v1::Registered& terms) {
  floor_ = nanoseconds(TimeUtil::DurationToNanoseconds(terms.hang_floor()));
  factor_ = terms.hang_factor();
}

std::optional<Time> HangWatch::Due(const std::optional<channel::Position>& position) const {
  if (floor_ <= nanoseconds(0) || !position.has_value() || !position->typical.has_value() || position == told_)
    return std::nullopt;
  const nanoseconds limit(static_cast<int64_t>(factor_ * static_cast<double>(position->typical->count())));
  return position->since + std::max(floor_, limit);
}

void HangWatch::OnTold(const std::optional<channel::Position>& position) { told_ = position; }

}  // namespace pixelrec::agent
