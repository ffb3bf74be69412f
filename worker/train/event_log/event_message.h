// The few fields of TensorBoard's Event message that a training log needs, as bytes of the protobuf wire format. Written by hand,
// because no file beside LibTorch may see generated protobuf headers; tests/worker/train_event_log reads them with TensorBoard
// itself.
//
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace pixelrec::train {

// Must be a file's first event. wall_time: seconds since 1970.
std::string VersionEvent(double wall_time);
// "The run starts at `step`": whatever earlier files of the folder hold from there on no longer counts.
std::string SessionStartEvent(double wall_time, int64_t step);
// One point of the curve `tag`.
std::string ScalarEvent(double wall_time, int64_t step, absl::string_view tag, float value);
// Text shown under TensorBoard's TEXT tab; Markdown.
std::string TextEvent(double wall_time, int64_t step, absl::string_view tag, absl::string_view text);

}  // namespace pixelrec::train
