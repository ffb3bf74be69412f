// A fuzz target over its committed corpus, whole, cut at every length and with every byte changed, so that builds without
// libFuzzer, sanitizers among them, exercise the parsers too.
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <vector>

#include "tests/worker/checkpoint/raw_safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace pixelrec::checkpoint {
namespace {

// On the heap and of just that size, so that AddressSanitizer sees a read past the end.
void RunOn(const std::string& input) {
  const std::vector<uint8_t> bytes(input.begin(), input.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

// One bit, a letter's case, out of ASCII.
constexpr std::array<int, 3> kChanges = {0x01, 0x20, 0x80};

TEST(Corpus, EveryInputIsSurvived) {
  int inputs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(PIXELREC_SOURCE_DIR "/tests/fuzz/corpus/" PIXELREC_CORPUS)) {
    SCOPED_TRACE(entry.path().string());
    const std::string input = ReadRaw(entry.path());
    RunOn(input);
    for (size_t at = 0; at < input.size(); ++at) {
      RunOn(input.substr(0, at));
      std::string changed = input;
      changed[at] = static_cast<char>(changed[at] ^ kChanges[at % kChanges.size()]);
      RunOn(changed);
    }
    ++inputs;
  }
  EXPECT_GE(inputs, 12);
}

}  // namespace
}  // namespace pixelrec::checkpoint
