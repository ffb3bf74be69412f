#include "worker/tokenizer/tokenizer.h"

#include <array>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/storage/atomic_file.h"
#include "nlohmann/json.hpp"
#include "worker/tokenizer/sentencepiece_tokenizer.h"

namespace pixelrec::tokenizer {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Far above any real tokenizer; keeps a wrong file (weights, say) from being read whole.
constexpr uintmax_t kMaxModelBytes = 256u << 20;
constexpr uintmax_t kMaxConfigBytes = 64u << 20;

// Tokenizers that put BOS first and no EOS unless told otherwise. What another class does by default isn't known here.
constexpr std::array<absl::string_view, 6> kBosByDefault = {"LlamaTokenizer",         "LlamaTokenizerFast", "CodeLlamaTokenizer",
                                                            "CodeLlamaTokenizerFast", "GemmaTokenizer",     "GemmaTokenizerFast"};

absl::Status Invalid(const fs::path& file, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(file.string(), ": ", what));
}

absl::StatusOr<std::string> ReadBounded(const fs::path& file, uintmax_t limit) {
  std::error_code error;
  const uintmax_t size = fs::file_size(file, error);
  if (!error && size > limit) return Invalid(file, absl::StrCat("larger than ", limit >> 20, " MiB: not a tokenizer file"));
  return storage::ReadFile(file);
}

absl::Status ReadFlag(const fs::path& file, const json& config, const char* key, bool& flag) {
  const auto it = config.find(key);
  if (it == config.end() || it->is_null()) return absl::OkStatus();
  if (!it->is_boolean()) return Invalid(file, absl::StrCat(key, " must be true or false"));
  flag = it->get<bool>();
  return absl::OkStatus();
}

// A token is a string, or an object with the string as "content".
absl::Status ReadToken(const fs::path& file, const json& config, const char* key, std::string& token) {
  auto it = config.find(key);
  if (it == config.end() || it->is_null()) return absl::OkStatus();
  const json* value = &*it;
  if (value->is_object()) {
    const auto content = value->find("content");
    if (content == value->end()) return Invalid(file, absl::StrCat(key, " has no content"));
    value = &*content;
  }
  if (!value->is_string()) return Invalid(file, absl::StrCat(key, " must be a string"));
  token = value->get<std::string>();
  return absl::OkStatus();
}

absl::StatusOr<SpecialTokens> ReadSpecialTokens(const fs::path& file) {
  SpecialTokens special;
  if (!fs::exists(file)) {
    special.required = false;
    return special;
  }
  absl::StatusOr<std::string> text = ReadBounded(file, kMaxConfigBytes);
  if (!text.ok()) return text.status();
  const json config = json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return Invalid(file, "not a JSON object");

  std::string tokenizer_class;
  if (absl::Status status = ReadToken(file, config, "tokenizer_class", tokenizer_class); !status.ok()) return status;
  bool known = tokenizer_class.empty();
  for (absl::string_view name : kBosByDefault) known |= tokenizer_class == name;
  if (!known && !config.contains("add_bos_token")) {
    return Invalid(file, absl::StrCat("tokenizer_class ", tokenizer_class,
                                      ": its special tokens are not known here; set add_bos_token and add_eos_token"));
  }
  for (absl::Status status :
       {ReadFlag(file, config, "add_bos_token", special.add_bos), ReadFlag(file, config, "add_eos_token", special.add_eos),
        ReadToken(file, config, "bos_token", special.bos), ReadToken(file, config, "eos_token", special.eos)}) {
    if (!status.ok()) return status;
  }
  return special;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(const fs::path& model_dir) {
  std::error_code error;
  if (!fs::is_directory(model_dir, error)) {
    return absl::NotFoundError(absl::StrCat(model_dir.string(), ": no such model directory"));
  }
  const fs::path model_file = model_dir / "tokenizer.model";
  if (!fs::exists(model_file, error)) {
    if (fs::exists(model_dir / "tokenizer.json", error)) {
      return Invalid(model_dir / "tokenizer.json",
                     "Hugging Face tokenizer files are not read yet; put the model's SentencePiece tokenizer.model beside it");
    }
    return absl::NotFoundError(absl::StrCat(model_dir.string(), ": no tokenizer in it (looked for tokenizer.model)"));
  }
  absl::StatusOr<std::string> serialized = ReadBounded(model_file, kMaxModelBytes);
  if (!serialized.ok()) return serialized.status();
  absl::StatusOr<SpecialTokens> special = ReadSpecialTokens(model_dir / "tokenizer_config.json");
  if (!special.ok()) return special.status();
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = MakeSentencePieceTokenizer(*serialized, *special);
  if (!tokenizer.ok()) return Invalid(model_file, tokenizer.status().message());
  return tokenizer;
}

}  // namespace pixelrec::tokenizer
