// Ids of 1,000 strings against Python's transformers: tests/worker/tokenizer/cases, written by make_cases.py there.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"
#include "worker/tokenizer/tokenizer.h"

namespace pixelrec::tokenizer {
namespace {

namespace fs = std::filesystem;

const fs::path kCases = PIXELREC_SOURCE_DIR "/tests/worker/tokenizer/cases";

std::vector<std::string> Lines(const fs::path& file) {
  std::ifstream in(file);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> Strings() {
  std::vector<std::string> strings;
  for (const std::string& line : Lines(kCases / "strings.jsonl")) {
    const auto entry = nlohmann::json::parse(line);
    std::string text;
    const int times = entry.is_object() ? entry["times"].get<int>() : 1;
    for (int i = 0; i < times; ++i) text += entry.is_object() ? entry["repeat"].get<std::string>() : entry.get<std::string>();
    strings.push_back(std::move(text));
  }
  return strings;
}

// As make_cases.py writes ids down.
std::string Written(const std::vector<int32_t>& ids) {
  if (ids.size() <= 100) return absl::StrJoin(ids, " ");
  uint64_t hash = 0xCBF29CE484222325u;
  for (const int32_t id : ids) {
    for (int shift = 0; shift < 32; shift += 8) hash = (hash ^ ((static_cast<uint32_t>(id) >> shift) & 0xFF)) * 0x100000001B3u;
  }
  return absl::StrFormat("#%d %016x", ids.size(), hash);
}

class HfCases : public testing::TestWithParam<const char*> {};

TEST_P(HfCases, IdsAreThoseOfTransformers_X4) {
  const auto tokenizer = LoadTokenizer(kCases / GetParam());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const std::vector<std::string> strings = Strings(), expected = Lines(kCases / GetParam() / "ids.txt");
  ASSERT_EQ(strings.size(), 1000u);
  ASSERT_EQ(expected.size(), strings.size());
  int differing = 0;
  for (size_t i = 0; i < strings.size(); ++i) {
    const auto ids = (*tokenizer)->Encode(strings[i]);
    ASSERT_TRUE(ids.ok()) << ids.status();
    const std::string got = Written(*ids);
    if (got != expected[i] && ++differing <= 5)
      ADD_FAILURE() << "line " << i + 1 << ": got " << got << ", expected " << expected[i];
  }
  EXPECT_EQ(differing, 0);
  RecordProperty("strings", static_cast<int>(strings.size()));
}

INSTANTIATE_TEST_SUITE_P(Kinds, HfCases, testing::Values("gpt2", "qwen2", "llama3", "llama2", "unigram", "bert-uncased"),
                         [](const auto& kind) {
                           std::string name = kind.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace pixelrec::tokenizer
