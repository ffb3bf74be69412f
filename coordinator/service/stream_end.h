// The writing side of one server stream: one write under way at most, one end, and none of either once the stream is done. What
// is written, and when, is its owner's business.
//
// Threads: under its owner's lock, all of it.
#pragma once

#include <grpcpp/support/server_callback.h>

#include "absl/status/status.h"
#include "common/rpc/status.h"

namespace pixelrec::coordinator {

template <typename Response>
class StreamEnd {
 public:
  explicit StreamEnd(grpc::ServerWriteReactor<Response>* stream) : stream_(stream) {}

  // Not done and not about to end.
  bool open() const { return stream_ != nullptr && !ending_; }
  bool writing() const { return writing_; }
  bool may_write() const { return open() && !writing_; }

  // `message` stays as it is until OnWritten. Only if may_write().
  void Write(const Response* message) {
    writing_ = true;
    stream_->StartWrite(message);
  }
  // Of the write under way; not ok: the reader has gone.
  void OnWritten(bool ok) {
    writing_ = false;
    if (!ok) End(absl::CancelledError("the reader has gone"));
    if (ending_) Finish();
  }
  // The first one counts. OK waits for the write under way; an error doesn't, since a write that its reader doesn't take would
  // hold it back.
  void End(const absl::Status& status) {
    if (!open()) return;
    ending_ = true;
    status_ = status;
    if (!writing_ || !status.ok()) Finish();
  }
  // The stream is done: no use of it from here on.
  void Detach() { stream_ = nullptr; }

 private:
  void Finish() {
    if (finished_ || stream_ == nullptr) return;
    finished_ = true;
    stream_->Finish(rpc::ToGrpc(status_));
  }

  grpc::ServerWriteReactor<Response>* stream_;  // null once it is done
  bool writing_ = false, ending_ = false, finished_ = false;
  absl::Status status_;
};

}  // namespace pixelrec::coordinator
