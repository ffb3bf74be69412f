#include "worker/tokenizer/tokenizer.h"

#include <cstdlib>
#include <fstream>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pixelrec::tokenizer {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

const fs::path kQuickstart = PIXELREC_SOURCE_DIR "/deploy/quickstart/stories260k";

// A model directory with the quickstart's tokenizer.model and a tokenizer_config.json of the test's.
class ModelDirectory : public testing::Test {
 protected:
  ModelDirectory() {
    std::string pattern = (fs::temp_directory_path() / "pixelrec-tokenizer-XXXXXX").string();
    EXPECT_NE(mkdtemp(pattern.data()), nullptr);
    path_ = pattern;
    fs::copy_file(kQuickstart / "tokenizer.model", path_ / "tokenizer.model");
  }
  ~ModelDirectory() override { fs::remove_all(path_); }

  void Write(const std::string& name, const std::string& content) { std::ofstream(path_ / name, std::ios::binary) << content; }

  std::vector<int32_t> Ids(const std::string& config) {
    Write("tokenizer_config.json", config);
    const auto tokenizer = LoadTokenizer(path_);
    EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
    return tokenizer.ok() ? *(*tokenizer)->Encode("the") : std::vector<int32_t>();
  }

  std::string Error() {
    const auto tokenizer = LoadTokenizer(path_);
    EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kInvalidArgument) << tokenizer.status();
    return std::string(tokenizer.status().message());
  }

  std::string ErrorWith(const std::string& config) {
    Write("tokenizer_config.json", config);
    return Error();
  }

  std::string Digest(const std::string& config) {
    Write("tokenizer_config.json", config);
    return (*LoadTokenizer(path_))->digest();
  }

  fs::path path_;
};

TEST_F(ModelDirectory, BosAndEosAsTheConfigurationSays_X4) {
  const std::vector<int32_t> bare = Ids(R"({"add_bos_token": false})");
  ASSERT_FALSE(bare.empty());
  auto with = [&](bool bos, bool eos) {
    std::vector<int32_t> ids = bare;
    if (bos) ids.insert(ids.begin(), 1);
    if (eos) ids.push_back(2);
    return ids;
  };
  EXPECT_EQ(Ids("{}"), with(true, false));
  EXPECT_EQ(Ids(R"({"tokenizer_class": "LlamaTokenizer"})"), with(true, false));
  EXPECT_EQ(Ids(R"({"tokenizer_class": "LlamaTokenizer", "add_bos_token": null, "add_eos_token": true})"), with(true, true));
  EXPECT_EQ(Ids(R"({"add_bos_token": false, "add_eos_token": true})"), with(false, true));
  EXPECT_EQ(Ids(R"({"bos_token": {"content": "</s>", "lstrip": false}})"), [&] {
    std::vector<int32_t> ids = bare;
    ids.insert(ids.begin(), 2);
    return ids;
  }());
  fs::remove(path_ / "tokenizer_config.json");
  EXPECT_EQ(*(*LoadTokenizer(path_))->Encode("the"), with(true, false));
}

TEST_F(ModelDirectory, AnotherClassMustSayWhatItAdds) {
  EXPECT_THAT(ErrorWith(R"({"tokenizer_class": "T5Tokenizer"})"), HasSubstr("tokenizer_class T5Tokenizer"));
  EXPECT_FALSE(Ids(R"({"tokenizer_class": "BaichuanTokenizer", "add_bos_token": false})").empty());
}

TEST_F(ModelDirectory, DamagedConfigurations) {
  EXPECT_THAT(ErrorWith("{"), HasSubstr("tokenizer_config.json: not a JSON object"));
  EXPECT_THAT(ErrorWith("[]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(ErrorWith(R"({"add_bos_token": "yes"})"), HasSubstr("add_bos_token must be true or false"));
  EXPECT_THAT(ErrorWith(R"({"bos_token": 7})"), HasSubstr("bos_token must be a string"));
  EXPECT_THAT(ErrorWith(R"({"bos_token": {}})"), HasSubstr("bos_token has no content"));
  EXPECT_THAT(ErrorWith(R"({"bos_token": "<nope>"})"),
              HasSubstr("the vocabulary has no piece \"<nope>\"; set add_bos_token to false"));
  EXPECT_THAT(ErrorWith(std::string(100000, '[')), HasSubstr("not a JSON object"));
}

TEST_F(ModelDirectory, NoDirectoryNoTokenizer) {
  EXPECT_EQ(LoadTokenizer(path_ / "nowhere").status().code(), absl::StatusCode::kNotFound);
  fs::remove(path_ / "tokenizer.model");
  const absl::Status status = LoadTokenizer(path_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("looked for tokenizer.json, tokenizer.model, vocab.txt"));
}

// As transformers decides: its fast tokenizers read tokenizer.json.
TEST_F(ModelDirectory, TokenizerJsonComesBeforeTokenizerModel) {
  Write("tokenizer.json", R"({"model": {"type": "WordLevel", "vocab": {"the": 7}, "unk_token": "the"}})");
  EXPECT_THAT(*(*LoadTokenizer(path_))->Encode("the"), ElementsAre(7));
  Write("tokenizer.json", "{}");
  EXPECT_THAT(Error(), HasSubstr("tokenizer.json: not a readable tokenizer.json"));
}

TEST_F(ModelDirectory, EveryErrorOfLoadingBlamesTheModel) {
  EXPECT_TRUE(BlamesModel(LoadTokenizer(path_ / "nowhere").status()));
  Write("tokenizer.model", "garbage");
  EXPECT_TRUE(BlamesModel(LoadTokenizer(path_).status()));
  EXPECT_FALSE(BlamesModel(absl::InvalidArgumentError("a CSV")));
}

TEST_F(ModelDirectory, IdsStayBelowTheModelsVocabSize) {
  Write("config.json", R"({"vocab_size": 100})");
  const auto tokenizer = LoadTokenizer(path_);
  EXPECT_EQ((*tokenizer)->vocab_size(), 100);
  EXPECT_THAT(*(*tokenizer)->Encode(""), ElementsAre(1));
  const absl::Status status = (*tokenizer)->Encode("the").status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("but the model has only 100 embeddings (vocab_size of its config.json)"));
  EXPECT_TRUE(BlamesModel(status));
  Write("config.json", R"({"vocab_size": 512})");
  EXPECT_TRUE((*LoadTokenizer(path_))->Encode("the").ok());
  Write("config.json", R"({"vocab_size": -1})");
  EXPECT_THAT(Error(), HasSubstr("config.json: vocab_size must be a whole number above 0"));
}

TEST_F(ModelDirectory, DamagedModelNamesTheFile) {
  Write("tokenizer.model", "garbage");
  EXPECT_THAT(Error(), HasSubstr("tokenizer.model: not a readable SentencePiece model"));
  Write("tokenizer.model", "");
  EXPECT_THAT(Error(), HasSubstr("the file is empty"));
}

TEST_F(ModelDirectory, AHugeFileIsNotRead) {
  fs::resize_file(path_ / "tokenizer.model", uintmax_t{300} << 20);  // sparse
  EXPECT_THAT(Error(), HasSubstr("larger than 256 MiB"));
}

TEST_F(ModelDirectory, DigestFollowsWhatDecidesTheIds) {
  const std::string usual = Digest("{}");
  EXPECT_EQ(usual.size(), 32u);
  EXPECT_EQ(usual, Digest(R"({"add_bos_token": true,   "chat_template": "whatever"})"));
  EXPECT_NE(usual, Digest(R"({"add_bos_token": false})"));
  EXPECT_NE(usual, Digest(R"({"add_eos_token": true})"));
  std::ofstream(path_ / "tokenizer.model", std::ios::app | std::ios::binary)
      << std::string("\x9A\x06\x01x", 4);  // an unknown field
  EXPECT_NE(usual, Digest("{}"));
}

TEST_F(ModelDirectory, TextThatIsNotUtf8) {
  const auto tokenizer = LoadTokenizer(path_);
  EXPECT_EQ((*tokenizer)->Encode("ok \xFF").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ModelDirectory, EmptyTextIsBosAlone) { EXPECT_THAT(*(*LoadTokenizer(path_))->Encode(""), ElementsAre(1)); }

TEST_F(ModelDirectory, ManyThreadsEncodeAtOnce) {
  const auto tokenizer = LoadTokenizer(path_);
  const auto expected = *(*tokenizer)->Encode("Once upon a time there was a girl");
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 200; ++k) ASSERT_EQ(*(*tokenizer)->Encode("Once upon a time there was a girl"), expected);
    });
  }
}

TEST_F(ModelDirectory, AVeryLongTextTakesNoVeryLongTime) {
  const auto tokenizer = LoadTokenizer(path_);
  std::string text;
  while (text.size() < 1 << 20) text += "a long description without an end ";
  const auto ids = (*tokenizer)->Encode(text);
  ASSERT_TRUE(ids.ok());
  EXPECT_GT(ids->size(), 100000u);
}

}  // namespace
}  // namespace pixelrec::tokenizer
