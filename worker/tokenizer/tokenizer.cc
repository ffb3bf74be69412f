#include "worker/tokenizer/tokenizer.h"

#include <algorithm>
#include <array>
#include <optional>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "worker/tokenizer/bounded_file.h"
#include "worker/tokenizer/hf_settings.h"
#include "worker/tokenizer/hf_tokenizer.h"
#include "worker/tokenizer/sentencepiece_tokenizer.h"
#include "worker/tokenizer/tokenizer_config.h"
#include "worker/tokenizer/vocabulary_bound.h"

namespace pixelrec::tokenizer {
namespace {

namespace fs = std::filesystem;
using TokenizerOr = absl::StatusOr<std::unique_ptr<Tokenizer>>;

constexpr char kBlamesModel[] = "pixelrec/blames-model";

// SentencePiece tokenizers that put BOS first and no EOS unless told otherwise. What another class does isn't known here.
constexpr std::array<absl::string_view, 3> kBosByDefault = {"LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer"};
// Classes that read a vocab.txt as BERT does.
constexpr std::array<absl::string_view, 5> kBertClasses = {"", "BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer",
                                                           "MobileBertTokenizer"};

template <size_t N>
bool IsOneOf(const std::array<absl::string_view, N>& names, absl::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

TokenizerOr Named(const fs::path& file, TokenizerOr tokenizer) {
  if (!tokenizer.ok()) return InvalidFile(file, tokenizer.status().message());
  return tokenizer;
}

TokenizerOr LoadHuggingFace(const fs::path& file, const TokenizerConfig& config) {
  absl::StatusOr<std::string> json = ReadBoundedFile(file, kMaxModelBytes);
  if (!json.ok()) return json.status();
  return Named(file, MakeHfTokenizer(*json, HfSettings(config)));
}

TokenizerOr LoadSentencePiece(const fs::path& file, const TokenizerConfig& config) {
  absl::StatusOr<std::string> serialized = ReadBoundedFile(file, kMaxModelBytes);
  if (!serialized.ok()) return serialized.status();
  const bool known = config.tokenizer_class.empty() || IsOneOf(kBosByDefault, config.tokenizer_class);
  if (!known && !config.add_bos) {
    return InvalidFile(file.parent_path() / "tokenizer_config.json",
                       absl::StrCat("tokenizer_class ", config.tokenizer_class,
                                    ": its special tokens are not known here; set add_bos_token and add_eos_token"));
  }
  const SpecialTokens special{.add_bos = config.add_bos.value_or(true),
                              .add_eos = config.add_eos.value_or(false),
                              .bos = config.Named("bos_token", ""),
                              .eos = config.Named("eos_token", ""),
                              .required = config.present};
  return Named(file, MakeSentencePieceTokenizer(*serialized, special));
}

TokenizerOr LoadBert(const fs::path& file, TokenizerConfig config) {
  if (!IsOneOf(kBertClasses, config.tokenizer_class)) {
    return InvalidFile(file, absl::StrCat("a vocab.txt is read as BERT's, but tokenizer_config.json says ",
                                          config.tokenizer_class, "; put its tokenizer.json beside it"));
  }
  absl::StatusOr<std::string> vocabulary = ReadBoundedFile(file, kMaxConfigBytes);
  if (!vocabulary.ok()) return vocabulary.status();
  absl::StatusOr<std::string> json = BertTokenizerJson(*vocabulary, config);
  if (!json.ok()) return InvalidFile(file, json.status().message());
  return Named(file, MakeHfTokenizer(*json, HfSettings(config)));
}

TokenizerOr LoadFirst(const fs::path& model_dir) {
  std::error_code error;
  if (!fs::is_directory(model_dir, error)) {
    return absl::NotFoundError(absl::StrCat(model_dir.string(), ": no such model directory"));
  }
  absl::StatusOr<TokenizerConfig> config = ReadTokenizerConfig(model_dir);
  if (!config.ok()) return config.status();
  if (const fs::path file = model_dir / "tokenizer.json"; fs::exists(file, error)) return LoadHuggingFace(file, *config);
  if (const fs::path file = model_dir / "tokenizer.model"; fs::exists(file, error)) return LoadSentencePiece(file, *config);
  if (const fs::path file = model_dir / "vocab.txt"; fs::exists(file, error)) return LoadBert(file, *config);
  return absl::NotFoundError(
      absl::StrCat(model_dir.string(), ": no tokenizer in it (looked for tokenizer.json, tokenizer.model, vocab.txt)"));
}

}  // namespace

absl::Status BlameModel(absl::Status status) {
  if (!status.ok()) status.SetPayload(kBlamesModel, absl::Cord());
  return status;
}

bool BlamesModel(const absl::Status& status) { return status.GetPayload(kBlamesModel).has_value(); }

TokenizerOr LoadTokenizer(const fs::path& model_dir) {
  TokenizerOr tokenizer = LoadFirst(model_dir);
  if (!tokenizer.ok()) return BlameModel(tokenizer.status());
  absl::StatusOr<std::optional<int32_t>> vocab_size = ReadModelVocabSize(model_dir);
  if (!vocab_size.ok()) return BlameModel(vocab_size.status());
  return *vocab_size ? WithinVocabulary(*std::move(tokenizer), **vocab_size) : std::move(tokenizer);
}

}  // namespace pixelrec::tokenizer
