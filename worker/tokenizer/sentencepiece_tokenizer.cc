#include "worker/tokenizer/sentencepiece_tokenizer.h"

#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "worker/tokenizer/normalizer.h"
#include "worker/tokenizer/piece_trie.h"
#include "worker/tokenizer/segmenter.h"
#include "worker/tokenizer/sentencepiece_model.h"
#include "worker/tokenizer/utf8.h"
#include "xxhash.h"

namespace pixelrec::tokenizer {
namespace {

using PieceType = SentencePieceModel::PieceType;

class SentencePieceTokenizer : public Tokenizer {
 public:
  SentencePieceTokenizer(SentencePieceModel model, Normalizer normalizer)
      : model_(std::move(model)), normalizer_(std::move(normalizer)) {
    for (size_t id = 0; id < model_.pieces.size(); ++id) {
      const auto& piece = model_.pieces[id];
      if (piece.type == PieceType::kUserDefined) user_defined_.Insert(piece.text, static_cast<int32_t>(id));
    }
    segmenter_ = model_.algorithm == SentencePieceModel::Algorithm::kBpe ? MakeBpeSegmenter(model_, user_defined_)
                                                                         : MakeUnigramSegmenter(model_);
  }

  absl::Status ConfigureSpecialTokens(const SpecialTokens& special) {
    const std::string bos = special.bos.empty() ? model_.bos_piece : special.bos;
    const std::string eos = special.eos.empty() ? model_.eos_piece : special.eos;
    if (special.add_bos) bos_id_ = FindPiece(bos);
    if (special.add_eos) eos_id_ = FindPiece(eos);
    if (special.required && special.add_bos && !bos_id_) return Missing("add_bos_token", "bos_token", bos);
    if (special.required && special.add_eos && !eos_id_) return Missing("add_eos_token", "eos_token", eos);
    return absl::OkStatus();
  }

  void SetDigest(absl::string_view serialized_model) {
    const std::string decisive =
        absl::StrCat("sentencepiece 1\nbos ", bos_id_.value_or(-1), "\neos ", eos_id_.value_or(-1), "\n", serialized_model);
    const XXH128_hash_t hash = XXH3_128bits(decisive.data(), decisive.size());
    digest_ = absl::StrFormat("%016x%016x", hash.high64, hash.low64);
  }

  absl::StatusOr<std::vector<int32_t>> Encode(absl::string_view text) const override {
    if (const size_t valid = ValidUtf8Prefix(text); valid != text.size()) {
      return absl::InvalidArgumentError(absl::StrCat("the text is not UTF-8 at byte ", valid));
    }
    std::vector<int32_t> ids;
    ids.reserve(text.size() / 2 + 2);
    if (bos_id_) ids.push_back(*bos_id_);
    const std::string normalized = normalizer_.Normalize(text, user_defined_);
    bool after_unknown = false;
    for (const Segment& segment : segmenter_->Cut(normalized)) {
      const bool unknown = segment.id == model_.unk_id;
      if (unknown && model_.byte_fallback) {
        for (char c : segment.text) ids.push_back(model_.byte_ids[static_cast<unsigned char>(c)]);
      } else if (!unknown || !after_unknown) {  // a run of unknown characters is one unknown piece
        ids.push_back(segment.id);
      }
      after_unknown = unknown;
    }
    if (eos_id_) ids.push_back(*eos_id_);
    return ids;
  }

  std::string TokenText(int32_t id) const override {
    const bool known = id >= 0 && id < vocab_size();
    return known ? std::string(model_.pieces[static_cast<size_t>(id)].text) : "";
  }

  int32_t vocab_size() const override { return static_cast<int32_t>(model_.pieces.size()); }
  const std::string& digest() const override { return digest_; }

 private:
  std::optional<int32_t> FindPiece(absl::string_view text) const {
    for (size_t id = 0; id < model_.pieces.size(); ++id) {
      if (model_.pieces[id].text == text) return static_cast<int32_t>(id);
    }
    return std::nullopt;
  }

  static absl::Status Missing(absl::string_view flag, absl::string_view token, absl::string_view piece) {
    return absl::InvalidArgumentError(absl::StrCat("the vocabulary has no piece \"", piece, "\"; set ", flag,
                                                   " to false in tokenizer_config.json, or ", token, " to a piece that exists"));
  }

  const SentencePieceModel model_;
  const Normalizer normalizer_;
  PieceTrie user_defined_;
  std::unique_ptr<Segmenter> segmenter_;
  std::optional<int32_t> bos_id_;
  std::optional<int32_t> eos_id_;
  std::string digest_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> MakeSentencePieceTokenizer(absl::string_view serialized_model,
                                                                      const SpecialTokens& special) {
  absl::StatusOr<SentencePieceModel> model = ParseSentencePieceModel(serialized_model);
  if (!model.ok()) return model.status();
  absl::StatusOr<Normalizer> normalizer = Normalizer::Create(*model);
  if (!normalizer.ok()) return normalizer.status();
  auto tokenizer = std::make_unique<SentencePieceTokenizer>(*std::move(model), *std::move(normalizer));
  if (absl::Status status = tokenizer->ConfigureSpecialTokens(special); !status.ok()) return status;
  tokenizer->SetDigest(serialized_model);
  return tokenizer;
}

}  // namespace pixelrec::tokenizer
