// Any bytes on the channel, cut into pieces anywhere: never a crash, and the same messages however they were cut.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "pixelrec/v1/trainer_channel.pb.h"
#include "worker/channel/framing.h"

namespace {

struct Outcome {
  std::vector<std::string> messages;
  bool broken = false;
  bool operator==(const Outcome&) const = default;
};

// The first byte decides the size of the pieces.
Outcome ReadAll(absl::string_view stream, size_t piece) {
  pixelrec::channel::FrameReader reader;
  Outcome outcome;
  pixelrec::v1::TrainerReport message;
  for (size_t at = 0; at < stream.size() && !outcome.broken; at += piece) {
    reader.Append(stream.substr(at, piece));
    for (;;) {
      const absl::StatusOr<bool> next = reader.Next(message);
      outcome.broken = !next.ok();
      if (!next.ok() || !*next) break;
      outcome.messages.push_back(message.SerializeAsString());
    }
  }
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Outcome whole = ReadAll(stream, stream.size() + 1);
  if (!(ReadAll(stream, 1 + data[0] % 64) == whole)) abort();
  return 0;
}
