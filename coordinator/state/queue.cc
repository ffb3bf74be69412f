#include "coordinator/state/queue.h"

#include <algorithm>

#include "coordinator/state/time_limit.h"
#include "google/protobuf/util/time_util.h"

namespace pixelrec::coordinator {

using std::chrono::microseconds;

namespace {

microseconds WaitingSince(const JobRecord& record) {
  return microseconds(record.waiting_since_us() != 0
                          ? record.waiting_since_us()
                          : google::protobuf::util::TimeUtil::TimestampToMicroseconds(record.job().create_time()));
}

}  // namespace

int EffectivePriority(const JobRecord& record, microseconds wall, microseconds aging) {
  const auto waited = std::max(microseconds(0), wall - WaitingSince(record));
  return record.job().spec().scheduling().priority() + static_cast<int>(waited / aging);
}

QueueKey PlaceOf(const JobRecord& record, microseconds aging) {
  const int64_t worth = record.job().spec().scheduling().priority() * aging.count();
  return {.behind = !record.claims(), .place = WaitingSince(record).count() - worth, .number = record.number()};
}

Waiting WaitingOf(const JobRecord& record) {
  const v1::JobSpec& spec = record.job().spec();
  return {.needed = std::max(1, spec.distributed().min_workers()),
          .priority = spec.scheduling().priority(),
          .picky = record.unfit_hosts_size() > 0,
          .time_left = TimeLeft(record.job())};
}

}  // namespace pixelrec::coordinator
