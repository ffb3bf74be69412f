// The fuzz target over its committed corpus, so that builds without libFuzzer run it too.
#include <gtest/gtest.h>

#include <filesystem>

#include "common/storage/atomic_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

TEST(CompressedCsvCorpus, EveryInputIsSurvived) {
  int inputs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(PIXELREC_SOURCE_DIR "/tests/fuzz/corpus/compressed_csv")) {
    SCOPED_TRACE(entry.path().string());
    const auto input = pixelrec::storage::ReadFile(entry.path());
    ASSERT_TRUE(input.ok()) << input.status();
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input->data()), input->size());
    ++inputs;
  }
  EXPECT_GE(inputs, 10);
}
