// Any method by its name, with an empty request: what a stranger to the contract could send. OK once it has answered anything: a
// stream may have no end.
#pragma once

#include <memory>
#include <string>

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include "absl/status/status.h"
#include "common/rpc/channel.h"
#include "common/rpc/status.h"

namespace pixelrec::coordinator {

inline absl::Status CallBare(const std::shared_ptr<grpc::Channel>& channel, const std::string& method) {
  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  rpc::SetDeadline(context, std::chrono::seconds(10));
  const auto next = [&queue] {
    void* tag;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  auto call = stub.PrepareCall(&context, method, &queue);
  call->StartCall(nullptr);
  if (next()) {
    grpc::Slice nothing("");
    call->WriteLast(grpc::ByteBuffer(&nothing, 1), grpc::WriteOptions(), nullptr);
    next();
  }
  grpc::ByteBuffer answer;
  call->Read(&answer, nullptr);
  const bool answered = next();
  if (answered) {
    context.TryCancel();
  }
  grpc::Status status;
  call->Finish(&status, nullptr);
  next();
  return answered ? absl::OkStatus() : rpc::FromGrpc(status);
}

}  // namespace pixelrec::coordinator
