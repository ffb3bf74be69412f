#include "worker/train/event_log/event_message.h"

#include <bit>

namespace pixelrec::train {
namespace {

// Field numbers of tensorboard/compat/proto: event.proto, summary.proto, tensor.proto.
constexpr int kEventWallTime = 1, kEventStep = 2, kEventFileVersion = 3, kEventSummary = 5, kEventSessionLog = 7;
constexpr int kSessionStatus = 1;
constexpr uint64_t kSessionStart = 1;
constexpr int kSummaryValue = 1;
constexpr int kValueTag = 1, kValueSimpleValue = 2, kValueTensor = 8, kValueMetadata = 9;
constexpr int kTensorDtype = 1, kTensorShape = 2, kTensorStringVal = 8;
constexpr int kShapeDim = 2, kDimSize = 1;
constexpr int kMetadataPluginData = 1, kPluginDataName = 1;
constexpr uint64_t kDtypeString = 7;

// Appends fields of one message.
class MessageWriter {
 public:
  MessageWriter& Varint(int field, uint64_t value) {
    Raw(static_cast<uint64_t>(field) << 3 | 0);
    Raw(value);
    return *this;
  }
  MessageWriter& Double(int field, double value) {
    Raw(static_cast<uint64_t>(field) << 3 | 1);
    Fixed(std::bit_cast<uint64_t>(value));
    return *this;
  }
  MessageWriter& Float(int field, float value) {
    Raw(static_cast<uint64_t>(field) << 3 | 5);
    Fixed(std::bit_cast<uint32_t>(value));
    return *this;
  }
  MessageWriter& Bytes(int field, absl::string_view value) {
    Raw(static_cast<uint64_t>(field) << 3 | 2);
    Raw(value.size());
    bytes_.append(value.data(), value.size());
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  void Raw(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_.push_back(static_cast<char>(value | 0x80));
    bytes_.push_back(static_cast<char>(value));
  }
  template <typename Integer>
  void Fixed(Integer value) {
    for (size_t i = 0; i < sizeof(value); ++i) bytes_.push_back(static_cast<char>(value >> (8 * i)));
  }
  std::string bytes_;
};

std::string SummaryEvent(double wall_time, int64_t step, const MessageWriter& value) {
  MessageWriter summary, event;
  summary.Bytes(kSummaryValue, value.bytes());
  event.Double(kEventWallTime, wall_time).Varint(kEventStep, static_cast<uint64_t>(step)).Bytes(kEventSummary, summary.bytes());
  return event.bytes();
}

}  // namespace

std::string VersionEvent(double wall_time) {
  return MessageWriter().Double(kEventWallTime, wall_time).Bytes(kEventFileVersion, "brain.Event:2").bytes();
}

std::string SessionStartEvent(double wall_time, int64_t step) {
  return MessageWriter()
      .Double(kEventWallTime, wall_time)
      .Varint(kEventStep, static_cast<uint64_t>(step))
      .Bytes(kEventSessionLog, MessageWriter().Varint(kSessionStatus, kSessionStart).bytes())
      .bytes();
}

std::string ScalarEvent(double wall_time, int64_t step, absl::string_view tag, float value) {
  return SummaryEvent(wall_time, step, MessageWriter().Bytes(kValueTag, tag).Float(kValueSimpleValue, value));
}

std::string TextEvent(double wall_time, int64_t step, absl::string_view tag, absl::string_view text) {
  // A string tensor of shape [1], marked as belonging to the text plugin.
  MessageWriter dim, shape, tensor, plugin, metadata;
  dim.Varint(kDimSize, 1);
  shape.Bytes(kShapeDim, dim.bytes());
  tensor.Varint(kTensorDtype, kDtypeString).Bytes(kTensorShape, shape.bytes()).Bytes(kTensorStringVal, text);
  plugin.Bytes(kPluginDataName, "text");
  metadata.Bytes(kMetadataPluginData, plugin.bytes());
  return SummaryEvent(
      wall_time, step,
      MessageWriter().Bytes(kValueTag, tag).Bytes(kValueTensor, tensor.bytes()).Bytes(kValueMetadata, metadata.bytes()));
}

}  // namespace pixelrec::train
