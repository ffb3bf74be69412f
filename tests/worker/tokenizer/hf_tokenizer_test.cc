#include "worker/tokenizer/hf_tokenizer.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/tokenizer/tokenizer.h"

namespace pixelrec::tokenizer {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

// Words split at spaces; <s> is 0, </s> is 1.
json WordLevel() {
  return json::parse(R"({
    "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null,
    "model": {"type": "WordLevel", "vocab": {"<s>": 0, "</s>": 1, "<unk>": 2, "a": 3, "b": 4, "x": 5}, "unk_token": "<unk>"}})");
}

class HfDirectory : public testing::Test {
 protected:
  HfDirectory() {
    std::string pattern = (fs::temp_directory_path() / "pixelrec-hf-XXXXXX").string();
    EXPECT_NE(mkdtemp(pattern.data()), nullptr);
    path_ = pattern;
  }
  ~HfDirectory() override { fs::remove_all(path_); }

  void Write(const std::string& name, const std::string& content) { std::ofstream(path_ / name, std::ios::binary) << content; }

  std::vector<int32_t> Ids(const json& tokenizer, const std::string& config, const std::string& text) {
    Write("tokenizer.json", tokenizer.dump());
    Write("tokenizer_config.json", config);
    const auto loaded = LoadTokenizer(path_);
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    return loaded.ok() ? *(*loaded)->Encode(text) : std::vector<int32_t>();
  }

  std::string Error(const json& tokenizer) {
    Write("tokenizer.json", tokenizer.dump());
    const auto loaded = LoadTokenizer(path_);
    EXPECT_EQ(loaded.status().code(), absl::StatusCode::kInvalidArgument) << loaded.status();
    return std::string(loaded.status().message());
  }

  fs::path path_;
};

TEST_F(HfDirectory, ThePostProcessorOfTheFileDecidesUnlessTheClassHasItsOwnRule_X4) {
  const json plain = WordLevel();
  json ends_with_eos = plain;
  ends_with_eos["post_processor"] = {
      {"type", "TemplateProcessing"},
      {"single", {{{"Sequence", {{"id", "A"}, {"type_id", 0}}}}, {{"SpecialToken", {{"id", "</s>"}, {"type_id", 0}}}}}},
      {"pair", json::array()},
      {"special_tokens", {{"</s>", {{"id", "</s>"}, {"ids", {1}}, {"tokens", {"</s>"}}}}}}};
  EXPECT_THAT(Ids(plain, "{}", "a b"), ElementsAre(3, 4));
  EXPECT_THAT(Ids(ends_with_eos, "{}", "a b"), ElementsAre(3, 4, 1));
  // The general class ignores the flags, as in transformers.
  EXPECT_THAT(
      Ids(ends_with_eos, R"({"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": true, "bos_token": "<s>"})", "a"),
      ElementsAre(3, 1));
  EXPECT_THAT(Ids(ends_with_eos, R"({"tokenizer_class": "LlamaTokenizerFast", "add_bos_token": true})", "a"), ElementsAre(0, 3));
  EXPECT_THAT(Ids(ends_with_eos, R"({"tokenizer_class": "LlamaTokenizer", "add_bos_token": false, "add_eos_token": true})", "a"),
              ElementsAre(3, 1));
  EXPECT_THAT(Ids(ends_with_eos, R"({"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>"})", "a"), ElementsAre(3, 1));
  EXPECT_THAT(Ids(plain, R"({"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>"})", "a"), ElementsAre(0, 3));
}

TEST_F(HfDirectory, TokensOfTheConfigurationAreFoundInTheText) {
  EXPECT_THAT(Ids(WordLevel(), "{}", "ax b"), ElementsAre(2, 4));
  const std::string added =
      R"({"added_tokens_decoder": {"5": {"content": "x", "lstrip": false, "rstrip": false, "normalized": false,
                                "single_word": false, "special": false}}})";
  EXPECT_THAT(Ids(WordLevel(), added, "ax b"), ElementsAre(3, 5, 4));
  EXPECT_THAT(Ids(WordLevel(), R"({"pad_token": "x"})", "ax b"), ElementsAre(3, 5, 4));
  EXPECT_THAT(Ids(WordLevel(), R"({"additional_special_tokens": ["new"]})", "anewb"), ElementsAre(3, 6, 4));
  EXPECT_THAT(Ids(WordLevel(), R"({"pad_token": "x", "split_special_tokens": true})", "ax b"), ElementsAre(2, 4));
  Write("special_tokens_map.json", R"({"pad_token": {"content": "x", "lstrip": false, "normalized": false}})");
  EXPECT_THAT(Ids(WordLevel(), "{}", "ax b"), ElementsAre(3, 5, 4));
}

TEST_F(HfDirectory, TruncationAndPaddingOfTheFileAreNotApplied) {
  json tokenizer = WordLevel();
  tokenizer["truncation"] = {{"direction", "Right"}, {"max_length", 1}, {"strategy", "LongestFirst"}, {"stride", 0}};
  tokenizer["padding"] = {{"strategy", {{"Fixed", 1000000000000}}},
                          {"direction", "Right"},
                          {"pad_to_multiple_of", nullptr},
                          {"pad_id", 0},
                          {"pad_type_id", 0},
                          {"pad_token", "x"}};
  EXPECT_THAT(Ids(tokenizer, "{}", "a b a"), ElementsAre(3, 4, 3));
}

TEST_F(HfDirectory, WhatMakesIdsRandomOrTextsHugeIsRefused) {
  json tokenizer = WordLevel();
  tokenizer["model"]["dropout"] = 0.1;
  EXPECT_THAT(Error(tokenizer), HasSubstr("tokenizer.json: model.dropout makes ids random"));
  tokenizer = WordLevel();
  const json ten = {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "aaaaaaaaaa"}};
  tokenizer["normalizer"] = {{"type", "Sequence"}, {"normalizers", {ten, ten}}};
  EXPECT_THAT(Error(tokenizer), HasSubstr("normalizer can make a text more than 64 times longer"));
  tokenizer = WordLevel();
  tokenizer["model"]["vocab"]["far"] = 4294967295u;
  EXPECT_THAT(Error(tokenizer), HasSubstr("a token id is not below 2^31"));
}

TEST_F(HfDirectory, DamagedFilesAreNamed) {
  EXPECT_THAT(Error(json::array()), HasSubstr("tokenizer.json: not a readable tokenizer.json"));
  json tokenizer = WordLevel();
  tokenizer["pre_tokenizer"] = {{"type", "Nothing"}};
  EXPECT_THAT(Error(tokenizer), HasSubstr("not a readable tokenizer.json"));
  Write("tokenizer.json", std::string(100000, '['));
  EXPECT_EQ(LoadTokenizer(path_).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(HfDirectory, BertFromItsVocabulary) {
  const std::string vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nun\n##do\nnaive\nNaïve\n";
  const auto ids = [&](const std::string& config, const std::string& text) {
    Write("vocab.txt", vocabulary);
    Write("tokenizer_config.json", config);
    const auto tokenizer = LoadTokenizer(path_);
    EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
    return tokenizer.ok() ? *(*tokenizer)->Encode(text) : std::vector<int32_t>();
  };
  EXPECT_THAT(ids("{}", "UNDO Naïve [MASK]"), ElementsAre(2, 5, 6, 7, 4, 3));
  EXPECT_THAT(ids(R"({"tokenizer_class": "BertTokenizer", "do_lower_case": false})", "Naïve undo"), ElementsAre(2, 8, 5, 6, 3));
  EXPECT_THAT(ids(R"({"strip_accents": false})", "Naïve"), ElementsAre(2, 1, 3));
  Write("tokenizer_config.json", R"({"tokenizer_class": "EsmTokenizer"})");
  EXPECT_THAT(std::string(LoadTokenizer(path_).status().message()), HasSubstr("vocab.txt: a vocab.txt is read as BERT's"));
  Write("tokenizer_config.json", "{}");
  Write("vocab.txt", "a\nb\n[UNK]\n");
  EXPECT_THAT(std::string(LoadTokenizer(path_).status().message()),
              HasSubstr("has no line \"[CLS]\", which BERT needs as cls_token"));
}

TEST_F(HfDirectory, DigestFollowsWhatDecidesTheIds) {
  const auto digest = [&](const json& tokenizer, const std::string& config) {
    Write("tokenizer.json", tokenizer.dump());
    Write("tokenizer_config.json", config);
    return (*LoadTokenizer(path_))->digest();
  };
  const std::string usual = digest(WordLevel(), "{}");
  EXPECT_EQ(usual.size(), 32u);
  EXPECT_EQ(usual, digest(WordLevel(), R"({"chat_template": "whatever", "model_max_length": 7})"));
  EXPECT_NE(usual, digest(WordLevel(), R"({"pad_token": "x"})"));
  EXPECT_NE(usual, digest(WordLevel(), R"({"split_special_tokens": true})"));
  EXPECT_NE(usual, digest(WordLevel(), R"({"tokenizer_class": "LlamaTokenizer", "add_eos_token": true})"));
  json changed = WordLevel();
  changed["model"]["vocab"]["c"] = 6;
  EXPECT_NE(usual, digest(changed, "{}"));
}

TEST_F(HfDirectory, ManyThreadsEncodeAtOnce) {
  const auto tokenizer = LoadTokenizer(PIXELREC_SOURCE_DIR "/tests/worker/tokenizer/cases/qwen2");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const auto expected = *(*tokenizer)->Encode("Once upon a time there was a girl");
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 200; ++k) ASSERT_EQ(*(*tokenizer)->Encode("Once upon a time there was a girl"), expected);
    });
  }
}

TEST_F(HfDirectory, TextThatIsNotUtf8) {
  Write("tokenizer.json", WordLevel().dump());
  EXPECT_THAT(std::string((*LoadTokenizer(path_))->Encode("ok \xFF").status().message()), HasSubstr("not UTF-8 at byte 3"));
  EXPECT_EQ((*LoadTokenizer(path_))->TokenText(3), "a");
  EXPECT_EQ((*LoadTokenizer(path_))->TokenText(99), "");
}

}  // namespace
}  // namespace pixelrec::tokenizer
