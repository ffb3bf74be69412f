// Length-delimited protobuf messages over the socket a trainer inherits from its worker (trainer_channel.proto).
//
// Threads: one reader and any number of writers (writes are serialised inside).
#pragma once

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "google/protobuf/message_lite.h"

namespace pixelrec::channel {

inline constexpr uint32_t kMaxMessageBytes = 16u << 20;

class Channel {
 public:
  // Takes ownership of a connected stream socket.
  explicit Channel(int fd);
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // Blocks until written whole. UNAVAILABLE: the peer is gone. INVALID_ARGUMENT: larger than kMaxMessageBytes.
  absl::Status Write(const google::protobuf::MessageLite& message);

  // Blocks for the next message. UNAVAILABLE: the peer closed at a message border. DATA_LOSS: it closed inside one, or sent what
  // doesn't parse or is too large.
  absl::Status Read(google::protobuf::MessageLite& message);

  // Unblocks a Read in another thread, which returns UNAVAILABLE.
  void Shutdown();
  int fd() const { return fd_; }

 private:
  struct Sync;
  int fd_;
  std::unique_ptr<Sync> sync_;
};

}  // namespace pixelrec::channel
