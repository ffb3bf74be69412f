// Reports on their way to the coordinator: numbered when first sent, kept until acknowledged, sent again in order after a lost
// session.
//
// Progress is the exception: a newer one replaces one that was not sent yet, and one that was sent is not kept. So sequences may
// have gaps where a progress was lost; every other report arrives at least once, and in order.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <optional>

#include "pixelrec/v1/worker_service.pb.h"
#include "worker/agent/rank_key.h"

namespace pixelrec::agent {

class ReportBuffer {
 public:
  // A report above this is replaced by a notice: the coordinator's receive limit would cut the session again and again.
  static constexpr size_t kMaxReportBytes = 512 << 10;

  explicit ReportBuffer(size_t max_bytes = 8 << 20) : max_bytes_(max_bytes) {}

  // Takes a report without a sequence.
  void Add(v1::RankReport report);

  // The next one to send, if there is one.
  std::optional<v1::RankReport> TakeNext();

  // A new session: all that was sent and not acknowledged is to be sent again.
  void Rewind() { next_ = kept_.begin(); }

  void Acknowledge(const v1::ReportAck& ack);

  // A newer generation has begun: older reports would have no effect. Exits stay, because they free this worker's place.
  void ForgetOlder(const std::string& job_id, uint64_t generation);

  // The owner stops reading its trainer until there is room again, so that memory is bounded without losing anything.
  bool full() const { return bytes_ >= max_bytes_; }
  bool empty() const { return kept_.empty(); }
  bool has_next() const { return next_ != kept_.end(); }

 private:
  using Kept = std::list<v1::RankReport>;

  Kept::iterator Remove(Kept::iterator it);
  uint64_t NextSequence(const RankKey& key);

  const size_t max_bytes_;
  Kept kept_;                          // in order of arrival; sequence 0: not sent yet
  Kept::iterator next_ = kept_.end();  // first that this session has not sent
  size_t bytes_ = 0;
  std::map<RankKey, uint64_t> sequences_;  // last one given
  std::list<RankKey> sequence_order_;      // oldest first, to forget the oldest
};

}  // namespace pixelrec::agent
