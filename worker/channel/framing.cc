#include "worker/channel/framing.h"

#include "absl/strings/str_cat.h"
#include "worker/channel/channel.h"

namespace pixelrec::channel {
namespace {

void PutLittleEndian(uint32_t value, char* into) {
  for (int i = 0; i < 4; ++i) into[i] = static_cast<char>((value >> (8 * i)) & 0xff);
}

uint32_t GetLittleEndian(const char* from) {
  uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = (value << 8) | static_cast<unsigned char>(from[i]);
  return value;
}

}  // namespace

absl::StatusOr<std::string> EncodeFrame(const google::protobuf::MessageLite& message) {
  const size_t size = message.ByteSizeLong();
  if (size > kMaxMessageBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a ", message.GetTypeName(), " of ", size, " bytes; the channel takes at most ", kMaxMessageBytes));
  }
  std::string frame(kFrameHeaderBytes + size, '\0');
  PutLittleEndian(static_cast<uint32_t>(size), frame.data());
  if (!message.SerializeToArray(frame.data() + kFrameHeaderBytes, static_cast<int>(size))) {
    return absl::InvalidArgumentError(absl::StrCat("can't serialise a ", message.GetTypeName()));
  }
  return frame;
}

absl::StatusOr<uint32_t> DecodeFrameSize(absl::string_view header) {
  const uint32_t size = GetLittleEndian(header.data());
  if (size > kMaxMessageBytes) {
    return absl::DataLossError(
        absl::StrCat("a message of ", size, " bytes is announced; the channel takes at most ", kMaxMessageBytes));
  }
  return size;
}

absl::Status ParseFrameBody(absl::string_view body, google::protobuf::MessageLite& message) {
  if (message.ParseFromArray(body.data(), static_cast<int>(body.size()))) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(body.size(), " bytes on the channel are not a ", message.GetTypeName()));
}

void FrameReader::Append(absl::string_view bytes) {
  if (!broken_.ok()) return;
  if (start_ > 0) {
    buffer_.erase(0, start_);
    start_ = 0;
  }
  buffer_.append(bytes.data(), bytes.size());
}

absl::StatusOr<bool> FrameReader::Next(google::protobuf::MessageLite& message) {
  if (!broken_.ok()) return broken_;
  const absl::string_view rest = absl::string_view(buffer_).substr(start_);
  if (rest.size() < kFrameHeaderBytes) return false;
  const absl::StatusOr<uint32_t> size = DecodeFrameSize(rest.substr(0, kFrameHeaderBytes));
  if (!size.ok()) return broken_ = size.status();
  if (rest.size() < kFrameHeaderBytes + *size) return false;
  if (absl::Status status = ParseFrameBody(rest.substr(kFrameHeaderBytes, *size), message); !status.ok()) return broken_ = status;
  start_ += kFrameHeaderBytes + *size;
  return true;
}

}  // namespace pixelrec::channel
