// grpc.health.v1.Health/Check by hand: its two messages are one field each, and Debian installs no definition of them.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include "common/rpc/channel.h"

namespace pixelrec::rpc {

enum class Health { kUnknown = 0, kServing = 1, kNotServing = 2, kError = -1 };

inline Health ProbeHealth(grpc::Channel& channel, const std::string& service) {
  // HealthCheckRequest { string service = 1; }
  std::string request;
  if (!service.empty()) {
    request = std::string("\x0a") + static_cast<char>(service.size()) + service;
  }
  grpc::Slice slice(request);
  grpc::ByteBuffer out(&slice, 1);
  grpc::ByteBuffer in;
  grpc::ClientContext context;
  SetDeadline(context, std::chrono::seconds(10));
  std::shared_ptr<grpc::ChannelInterface> alias(std::shared_ptr<void>(), &channel);
  grpc::GenericStub stub(alias);
  grpc::CompletionQueue queue;
  auto call = stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check", out, &queue);
  call->StartCall();
  grpc::Status status;
  call->Finish(&in, &status, &queue);
  void* tag;
  bool ok;
  queue.Next(&tag, &ok);
  if (!status.ok()) {
    return Health::kError;
  }
  // HealthCheckResponse { ServingStatus status = 1; }
  std::vector<grpc::Slice> slices;
  in.Dump(&slices);
  std::string bytes;
  for (const grpc::Slice& part : slices) {
    bytes.append(reinterpret_cast<const char*>(part.begin()), part.size());
  }
  return bytes.size() == 2 && bytes[0] == 0x08 ? static_cast<Health>(bytes[1]) : Health::kUnknown;
}

}  // namespace pixelrec::rpc
