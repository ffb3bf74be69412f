// The fuzz target over its committed corpus, so that builds without libFuzzer run it too, whole and cut short at every byte.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

TEST(JobYamlCorpus, NothingCrashes) {
  int files = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(PIXELREC_SOURCE_DIR) / "tests/fuzz/corpus/job_yaml")) {
    SCOPED_TRACE(entry.path());
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    const auto* const bytes = reinterpret_cast<const uint8_t*>(text.data());
    // Long files at some cuts only: each cut parses three times.
    const size_t step = 1 + text.size() / 100;
    for (size_t size = 0; size < text.size(); size += step) EXPECT_EQ(LLVMFuzzerTestOneInput(bytes, size), 0);
    EXPECT_EQ(LLVMFuzzerTestOneInput(bytes, text.size()), 0);
    ++files;
  }
  EXPECT_GE(files, 15);
}

}  // namespace
