// The bytes of one message on the channel, apart from any socket: u32 little-endian byte count, then the serialised message.
//
// FrameReader is for an owner that polls many descriptors and takes bytes as they come; Channel is for one that may block.
//
// Threads: pure functions; a FrameReader belongs to one thread.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message_lite.h"

namespace pixelrec::channel {

inline constexpr size_t kFrameHeaderBytes = 4;

// Header and body. INVALID_ARGUMENT: larger than kMaxMessageBytes.
absl::StatusOr<std::string> EncodeFrame(const google::protobuf::MessageLite& message);

// `header` is kFrameHeaderBytes long. DATA_LOSS: more than kMaxMessageBytes.
absl::StatusOr<uint32_t> DecodeFrameSize(absl::string_view header);

// DATA_LOSS: not a serialised message of this type.
absl::Status ParseFrameBody(absl::string_view body, google::protobuf::MessageLite& message);

// Cuts a stream of bytes, in pieces of any size, into messages. Holds at most one frame beyond what was appended last.
class FrameReader {
 public:
  void Append(absl::string_view bytes);

  // True: `message` is filled with the next one. False: more bytes are needed. DATA_LOSS (for ever after): the stream is not
  // ours.
  absl::StatusOr<bool> Next(google::protobuf::MessageLite& message);

  // Bytes of a message that has begun and not ended; not 0 at the end of the stream means that it was torn.
  size_t pending_bytes() const { return buffer_.size() - start_; }

 private:
  std::string buffer_;
  size_t start_ = 0;  // consumed before this
  absl::Status broken_;
};

}  // namespace pixelrec::channel
