// A fuzz target over its committed corpus, so that builds without libFuzzer, sanitizers among them, run it too. Include it in one
// test file per program, beside the target's own source.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "common/storage/atomic_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace pixelrec {

// Every file of tests/fuzz/corpus/NAME; fewer than `at_least` mean that the corpus was lost.
inline void SurviveCorpus(const std::string& name, int at_least) {
  int inputs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(PIXELREC_SOURCE_DIR "/tests/fuzz/corpus/" + name)) {
    SCOPED_TRACE(entry.path().string());
    const auto input = storage::ReadFile(entry.path());
    ASSERT_TRUE(input.ok()) << input.status();
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input->data()), input->size());
    ++inputs;
  }
  EXPECT_GE(inputs, at_least);
}

}  // namespace pixelrec
