// Every id equals libsentencepiece's: on the quickstart's tokenizer and on models trained here with the options that change the
// ids.
#include <fstream>
#include <random>
#include <sstream>

#include "gtest/gtest.h"
#include "tests/worker/tokenizer/reference_library.h"
#include "worker/tokenizer/sentencepiece_tokenizer.h"

namespace pixelrec::tokenizer {
namespace {

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

const std::string kQuickstart = PIXELREC_SOURCE_DIR "/deploy/quickstart";

// Lines of the real item texts: titles in many languages.
std::vector<std::string> ItemLines() { return Lines(ReadAll(kQuickstart + "/movietweetings-100k/items.csv")); }

// Text made of what tokenizers trip over: runs of spaces, tabs, compatibility characters, emoji, combining marks, special tokens.
std::vector<std::string> StrangeTexts() {
  std::vector<std::string> texts = {"",
                                    " ",
                                    "   ",
                                    "\t\n",
                                    "a",
                                    " a",
                                    "a ",
                                    "  a  b  ",
                                    "\xE2\x96\x81",
                                    "a\xE2\x96\x81 b",
                                    "<s>",
                                    "</s> <unk>",
                                    "<0x0A>",
                                    "\xEF\xBC\xA1\xEF\xBC\xA2\xE2\x84\xA2",
                                    "\xF0\x9F\x98\x80\xF0\x9F\x98\x80 x \xF0\x9F\x98\x80",
                                    "e\xCC\x81t\xC3\xA9",
                                    "\xE3\x80\x80wide\xE3\x80\x80space",
                                    "\xC2\xA0nbsp",
                                    "\xEF\xBB\xBF"
                                    "bom",
                                    std::string("nul\0nul", 7),
                                    "\xF4\x8F\xBF\xBF",
                                    "\xE4\xBD\xA0\xE5\xA5\xBD\xE4\xB8\x96\xE7\x95\x8C",
                                    "\r\n \r"};
  const std::vector<std::string> atoms = {" ",
                                          "  ",
                                          "a",
                                          "the",
                                          "The",
                                          "\xC3\xA9",
                                          "\xCC\x81",
                                          "\xE2\x84\xA2",
                                          "\xEF\xBC\xA1",
                                          "\xE2\x96\x81",
                                          "\xF0\x9F\x98\x80",
                                          "1",
                                          "99",
                                          ".",
                                          "(",
                                          "<s>",
                                          "<unk>",
                                          "SEP",
                                          "\t",
                                          "\n",
                                          "\xE3\x80\x80",
                                          "\xE5\xA5\xBD",
                                          "zz",
                                          "Q",
                                          "ing",
                                          "er",
                                          "\xC2\xAD",
                                          "\xE2\x80\x8B",
                                          "\xEF\xAC\x81",
                                          "\xC7\x86"};
  std::mt19937 random(7);
  for (int i = 0; i < 4000; ++i) {
    std::string text;
    for (auto n = random() % 24; n > 0; --n) text += atoms[random() % atoms.size()];
    texts.push_back(text);
  }
  return texts;
}

void ExpectSameIds(const std::string& model, const std::vector<std::string>& texts) {
  const reference::SentencePieceLibrary library(model);
  SpecialTokens special;
  special.add_bos = false;
  const auto ours = MakeSentencePieceTokenizer(model, special);
  ASSERT_TRUE(ours.ok()) << ours.status();
  for (const std::string& text : texts) {
    const auto ids = (*ours)->Encode(text);
    ASSERT_TRUE(ids.ok()) << ids.status();
    ASSERT_EQ(*ids, library.Encode(text)) << "text: \"" << text << "\"";
  }
}

TEST(SentencePieceReference, QuickstartTokenizerOnEveryItem) {
  ExpectSameIds(ReadAll(kQuickstart + "/stories260k/tokenizer.model"), ItemLines());
}

TEST(SentencePieceReference, QuickstartTokenizerOnStrangeTexts) {
  ExpectSameIds(ReadAll(kQuickstart + "/stories260k/tokenizer.model"), StrangeTexts());
}

class TrainedModel : public testing::TestWithParam<std::string> {};

TEST_P(TrainedModel, SameIds) {
  std::vector<std::string> corpus = ItemLines();
  corpus.resize(1500);
  const std::string model = reference::TrainModel(corpus, GetParam() + " --vocab_size=600 --num_threads=1");
  std::vector<std::string> texts = ItemLines();
  texts.erase(texts.begin() + 3000, texts.end());
  for (std::string& text : StrangeTexts()) texts.push_back(std::move(text));
  ExpectSameIds(model, texts);
}

INSTANTIATE_TEST_SUITE_P(
    Options, TrainedModel,
    testing::Values(
        "--model_type=unigram", "--model_type=bpe", "--model_type=unigram --byte_fallback=true",
        "--model_type=bpe --byte_fallback=true --normalization_rule_name=identity",
        "--model_type=unigram --normalization_rule_name=nfkc_cf", "--model_type=bpe --normalization_rule_name=nmt_nfkc_cf",
        "--model_type=unigram --add_dummy_prefix=false", "--model_type=bpe --remove_extra_whitespaces=false",
        "--model_type=bpe --treat_whitespace_as_suffix=true", "--model_type=unigram --treat_whitespace_as_suffix=true",
        "--model_type=unigram --user_defined_symbols=SEP,ing,zz", "--model_type=bpe --user_defined_symbols=SEP,ing,zz,<sep>",
        "--model_type=unigram --control_symbols=SEP,<mask> --split_digits=true",
        "--model_type=bpe --allow_whitespace_only_pieces=true --remove_extra_whitespaces=false --byte_fallback=true"));

}  // namespace
}  // namespace pixelrec::tokenizer
