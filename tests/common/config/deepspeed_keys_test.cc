// The table of DeepSpeed keys: sound in itself, and what docs/deepspeed.md says.
#include "common/config/deepspeed_keys.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/config/field_reader.h"
#include "common/config/job_fields.h"

namespace pixelrec::config {
namespace {

TEST(DeepSpeedKeys, EveryRowSaysAllItNeeds) {
  std::set<std::string> paths;
  for (const DeepSpeedKey& key : DeepSpeedKeys()) {
    SCOPED_TRACE(key.path);
    EXPECT_TRUE(paths.insert(key.path).second);
    const bool mapped = key.treatment == DeepSpeedTreatment::kMapped;
    EXPECT_EQ(mapped, FindField(JobFields(), key.target) != nullptr);
    if (!mapped) {
      EXPECT_FALSE(key.why.empty());
    }
    if (key.treatment != DeepSpeedTreatment::kRefused) {
      EXPECT_TRUE(key.harmless.empty());
    }
    if (!key.harmless.empty()) {
      EXPECT_FALSE(key.harmless_why.empty());
    }
  }
  // A key that stands for a whole object would hide the rows inside it.
  for (const DeepSpeedKey& key : DeepSpeedKeys()) {
    for (const std::string& path : paths) EXPECT_FALSE(absl::StartsWith(path, absl::StrCat(key.path, "."))) << path;
  }
}

// PIXELREC_REWRITE=1 writes the table into the page.
TEST(DeepSpeedKeys, AreTheTableOfTheDocumentation) {
  const std::string page = PIXELREC_SOURCE_DIR "/docs/deepspeed.md";
  std::ifstream in(page, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const size_t begin = text.find("| key | treatment | meaning |\n");
  ASSERT_NE(begin, std::string::npos);
  size_t end = begin;
  while (end < text.size() && text[end] == '|') end = text.find('\n', end) + 1;
  if (std::getenv("PIXELREC_REWRITE") != nullptr) {
    text.replace(begin, end - begin, DeepSpeedKeyTable());
    std::ofstream(page, std::ios::binary) << text;
    return;
  }
  EXPECT_EQ(text.substr(begin, end - begin), DeepSpeedKeyTable());
}

}  // namespace
}  // namespace pixelrec::config
