#include "worker/tokenizer/sentencepiece_model.h"

#include <limits>
#include <random>

#include "common/storage/atomic_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/worker/tokenizer/model_bytes.h"
#include "worker/tokenizer/sentencepiece_tokenizer.h"

namespace pixelrec::tokenizer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string Error(const std::string& model) {
  const auto parsed = ParseSentencePieceModel(model);
  EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << parsed.status();
  return std::string(parsed.status().message());
}

std::vector<int32_t> Encode(const std::string& model, const std::string& text) {
  SpecialTokens special;
  special.add_bos = false;
  const auto tokenizer = MakeSentencePieceTokenizer(model, special);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *(*tokenizer)->Encode(text);
}

TEST(SentencePieceModel, Defaults) {
  const auto model = ParseSentencePieceModel(SpecialPieces() + Piece("a", -1));
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->algorithm, SentencePieceModel::Algorithm::kUnigram);
  EXPECT_EQ(model->unk_id, 0);
  EXPECT_TRUE(model->add_dummy_prefix && model->remove_extra_spaces && model->escape_spaces);
  EXPECT_EQ(model->pieces[3].score, -1);
}

TEST(SentencePieceModel, Refusals) {
  EXPECT_THAT(Error(""), HasSubstr("empty"));
  EXPECT_THAT(Error("{\"json\": 1}"), HasSubstr("truncated or is another kind of file"));
  EXPECT_THAT(Error(TrainerSpec(1)), HasSubstr("no pieces"));
  EXPECT_THAT(Error(Piece("a")), HasSubstr("no unknown piece"));
  EXPECT_THAT(Error(SpecialPieces() + Piece("x", 0, 2)), HasSubstr("two unknown pieces"));
  EXPECT_THAT(Error(SpecialPieces() + Piece("a") + Piece("a")), HasSubstr("piece 4 repeats"));
  EXPECT_THAT(Error(SpecialPieces() + Piece("")), HasSubstr("piece 3 is empty"));
  EXPECT_THAT(Error(SpecialPieces() + Piece("\xFF")), HasSubstr("not UTF-8"));
  EXPECT_THAT(Error(SpecialPieces() + Piece(std::string(5000, 'x'))), HasSubstr("too long"));
  EXPECT_THAT(Error(SpecialPieces() + Piece("a", std::numeric_limits<float>::quiet_NaN())), HasSubstr("finite"));
  EXPECT_THAT(Error(SpecialPieces() + Piece("a", 0, 9)), HasSubstr("type 9"));
  EXPECT_THAT(Error(SpecialPieces() + Piece("<0x41>", 0, 6)), HasSubstr("unexpected byte piece"));
  EXPECT_THAT(Error(TrainerSpec(2, true) + SpecialPieces() + Piece("<0x41>", 0, 6)), HasSubstr("a byte piece is missing"));
  EXPECT_THAT(Error(TrainerSpec(2, true) + SpecialPieces() + Piece("<0xZZ>", 0, 6)), HasSubstr("unexpected byte piece"));
  EXPECT_THAT(Error(TrainerSpec(3) + SpecialPieces()), HasSubstr("type word; unigram and BPE models are read"));
  EXPECT_THAT(Error(TrainerSpec(4) + SpecialPieces()), HasSubstr("type char"));
}

TEST(SentencePieceModel, UnusedBpePiecesAreTakenApartAgain) {
  // "ab" may be passed through to reach "abc", but is not itself a result.
  const std::string model = TrainerSpec(2) + SpecialPieces() + Piece("a", -1) + Piece("b", -2) + Piece("c", -3) +
                            Piece("ab", -4, 5) + Piece("abc", -5) + Piece("\xE2\x96\x81", -6);
  EXPECT_THAT(Encode(model, "abc"), ElementsAre(8, 7));
  EXPECT_THAT(Encode(model, "ab"), ElementsAre(8, 3, 4));
}

TEST(SentencePieceModel, DamagedCharacterMaps) {
  auto with_map = [](const std::string& map) {
    const auto tokenizer = MakeSentencePieceTokenizer(SpecialPieces() + Piece("a", -1) + BytesField(3, BytesField(2, map)), {});
    if (tokenizer.ok()) {
      EXPECT_TRUE((*tokenizer)->Encode("a text \xC3\xA9 with \xE2\x84\xA2").ok());
    }
    return tokenizer.ok();
  };
  auto le = [](uint32_t v) { return std::string(reinterpret_cast<const char*>(&v), 4); };
  EXPECT_FALSE(with_map("x"));
  EXPECT_FALSE(with_map(le(0) + "xxxx"));
  EXPECT_FALSE(with_map(le(3) + "xxxxxxx"));
  EXPECT_FALSE(with_map(le(0xFFFFFFFC) + "xxxx"));
  EXPECT_FALSE(with_map(le(4) + "xxxx"));                   // no replacements
  EXPECT_FALSE(with_map(le(4) + "xxxx" + "\xFF"));          // not UTF-8
  EXPECT_TRUE(with_map(le(4) + "\xFF\xFF\xFF\xFF" + "x"));  // leads outside; must not be followed
  std::mt19937 random(5);
  for (int i = 0; i < 3000; ++i) {
    std::string units;
    for (auto n = 1 + random() % 64; n > 0; --n) units += le(static_cast<uint32_t>(random()) >> (random() % 24));
    with_map(le(static_cast<uint32_t>(units.size())) + units + std::string("x\0\xC3\xA9\0", 5));
  }
}

// Flips bytes all over the real model: refused or usable, never a crash, and ids stay in range.
TEST(SentencePieceModel, FlippedAndTruncatedRealModel) {
  const std::string sound = *storage::ReadFile(PIXELREC_SOURCE_DIR "/deploy/quickstart/stories260k/tokenizer.model");
  auto survives = [](const std::string& bytes) {
    const auto tokenizer = MakeSentencePieceTokenizer(bytes, {});
    if (!tokenizer.ok()) return;
    const auto ids = (*tokenizer)->Encode("Once upon a  time \xE2\x84\xA2 \xF0\x9F\x98\x80 \xE3\x80\x80 x");
    ASSERT_TRUE(ids.ok());
    for (int32_t id : *ids) ASSERT_TRUE(id >= 0 && id < (*tokenizer)->vocab_size());
  };
  std::mt19937 random(11);
  for (int i = 0; i < 2000; ++i) {
    std::string bytes = sound;
    for (auto n = 1 + random() % 3; n > 0; --n) bytes[random() % bytes.size()] = static_cast<char>(random());
    survives(bytes);
  }
  for (size_t size = 0; size < sound.size(); size += 61) survives(sound.substr(0, size));
}

}  // namespace
}  // namespace pixelrec::tokenizer
