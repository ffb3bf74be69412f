#include "worker/agent/session_stream.h"

#include <utility>

#include "common/rpc/status.h"

namespace pixelrec::agent {

SessionStream* SessionStream::Open(v1::WorkerService::StubInterface& stub, std::shared_ptr<Inbox> inbox, Events events) {
  auto* stream = new SessionStream(std::move(inbox), std::move(events));
  stub.async()->Session(&stream->context_, stream);
  // Writes start from outside the reactions, which a hold makes legal.
  stream->AddHold();
  stream->StartRead(&stream->response_);
  stream->StartCall();
  return stream;
}

void SessionStream::Write(v1::SessionRequest request) {
  writing_ = true;
  request_ = std::move(request);
  StartWrite(&request_);
}

void SessionStream::Release(bool cancel) {
  if (cancel) context_.TryCancel();
  RemoveHold();
}

void SessionStream::OnReadDone(bool ok) {
  if (!ok) {
    inbox_->Post(events_.broken);
    return;
  }
  inbox_->Post([message = events_.message, response = std::move(response_)]() mutable { message(std::move(response)); });
  response_.Clear();
  StartRead(&response_);
}

void SessionStream::OnWriteDone(bool ok) {
  if (ok) inbox_->Post(events_.written);  // else the read fails too
}

void SessionStream::OnDone(const grpc::Status& status) {
  // The context may hold the last reference to the channel. Dropped here, on one of gRPC's own threads, it would have that thread
  // join itself (an abort in gRPC 1.51); so the loop deletes.
  const std::shared_ptr<Inbox> inbox = inbox_;
  inbox->Post([this, closed = events_.closed, result = rpc::FromGrpc(status)] {
    delete this;
    closed(result);
  });
}

}  // namespace pixelrec::agent
