#include "worker/tokenizer/tokenizer_config.h"

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "nlohmann/json.hpp"
#include "worker/tokenizer/bounded_file.h"

namespace pixelrec::tokenizer {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

absl::Status ReadFlag(const fs::path& file, const json& config, const char* key, std::optional<bool>& flag) {
  const auto it = config.find(key);
  if (it == config.end() || it->is_null()) return absl::OkStatus();
  if (!it->is_boolean()) return InvalidFile(file, absl::StrCat(key, " must be true or false"));
  flag = it->get<bool>();
  return absl::OkStatus();
}

// A token is its text, or an object with "content" and flags.
absl::StatusOr<AddedToken> ReadToken(const fs::path& file, const json& value, absl::string_view key) {
  AddedToken token;
  if (value.is_string()) {
    token.content = value.get<std::string>();
    return token;
  }
  if (!value.is_object())
    return InvalidFile(file, absl::StrCat(key, " must be a string, or an object with its text as \"content\""));
  const auto content = value.find("content");
  if (content == value.end()) return InvalidFile(file, absl::StrCat(key, " has no content"));
  if (!content->is_string()) return InvalidFile(file, absl::StrCat(key, ".content must be a string"));
  token.content = content->get<std::string>();
  std::optional<bool> special, normalized, single_word, lstrip, rstrip;
  for (absl::Status status : {ReadFlag(file, value, "special", special), ReadFlag(file, value, "normalized", normalized),
                              ReadFlag(file, value, "single_word", single_word), ReadFlag(file, value, "lstrip", lstrip),
                              ReadFlag(file, value, "rstrip", rstrip)}) {
    if (!status.ok()) return InvalidFile(file, absl::StrCat(key, ": ", status.message()));
  }
  token.special = special.value_or(false);
  token.normalized = normalized.value_or(!token.special);
  token.single_word = single_word.value_or(false);
  token.lstrip = lstrip.value_or(false);
  token.rstrip = rstrip.value_or(false);
  return token;
}

absl::Status ReadNamedTokens(const fs::path& file, const json& values, TokenizerConfig& config) {
  for (const std::string& name : NamedTokens()) {
    const auto it = values.find(name);
    if (it == values.end() || it->is_null()) continue;
    absl::StatusOr<AddedToken> token = ReadToken(file, *it, name);
    if (!token.ok()) return token.status();
    token->special = true;
    config.named[name] = *std::move(token);
  }
  const auto extra = values.find("additional_special_tokens");
  if (extra == values.end() || extra->is_null()) return absl::OkStatus();
  if (!extra->is_array()) return InvalidFile(file, "additional_special_tokens must be a list");
  config.extra.clear();
  for (const json& value : *extra) {
    absl::StatusOr<AddedToken> token = ReadToken(file, value, "additional_special_tokens");
    if (!token.ok()) return token.status();
    token->special = true;
    config.extra.push_back(*std::move(token));
  }
  return absl::OkStatus();
}

absl::Status ReadAddedTokens(const fs::path& file, const json& values, TokenizerConfig& config) {
  if (!values.is_object()) return InvalidFile(file, "added_tokens_decoder must be an object of tokens by id");
  for (const auto& [key, value] : values.items()) {
    int64_t id = 0;
    if (!absl::SimpleAtoi(key, &id) || id < 0)
      return InvalidFile(file, absl::StrCat("added_tokens_decoder: \"", key, "\" is no id"));
    absl::StatusOr<AddedToken> token = ReadToken(file, value, absl::StrCat("added_tokens_decoder.", key));
    if (!token.ok()) return token.status();
    config.added[id] = *std::move(token);
  }
  return absl::OkStatus();
}

absl::StatusOr<json> ReadObject(const fs::path& file) {
  absl::StatusOr<std::string> text = ReadBoundedFile(file, kMaxConfigBytes);
  if (!text.ok()) return text.status();
  json object = json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return InvalidFile(file, "not a JSON object");
  return object;
}

absl::Status ReadSettings(const fs::path& file, const json& object, TokenizerConfig& config) {
  std::optional<bool> split;
  for (absl::Status status :
       {ReadFlag(file, object, "add_bos_token", config.add_bos), ReadFlag(file, object, "add_eos_token", config.add_eos),
        ReadFlag(file, object, "do_lower_case", config.lower_case),
        ReadFlag(file, object, "tokenize_chinese_chars", config.chinese_chars),
        ReadFlag(file, object, "strip_accents", config.strip_accents), ReadFlag(file, object, "split_special_tokens", split)}) {
    if (!status.ok()) return status;
  }
  config.split_special_tokens = split.value_or(false);
  const auto name = object.find("tokenizer_class");
  if (name == object.end() || name->is_null()) return absl::OkStatus();
  if (!name->is_string()) return InvalidFile(file, "tokenizer_class must be a string");
  config.tokenizer_class = std::string(absl::StripSuffix(name->get<std::string>(), "Fast"));
  return absl::OkStatus();
}

}  // namespace

const std::vector<std::string>& NamedTokens() {
  static const auto* const names =
      new std::vector<std::string>{"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};
  return *names;
}

std::string TokenizerConfig::Named(absl::string_view name, absl::string_view otherwise) const {
  const auto it = named.find(std::string(name));
  return it == named.end() ? std::string(otherwise) : it->second.content;
}

absl::StatusOr<TokenizerConfig> ReadTokenizerConfig(const fs::path& model_dir) {
  TokenizerConfig config;
  const fs::path file = model_dir / "tokenizer_config.json", map_file = model_dir / "special_tokens_map.json";
  std::error_code error;
  config.present = fs::exists(file, error);
  json object = json::object();
  if (config.present) {
    absl::StatusOr<json> read = ReadObject(file);
    if (!read.ok()) return read.status();
    object = *std::move(read);
  }
  if (absl::Status status = ReadSettings(file, object, config); !status.ok()) return status;
  if (absl::Status status = ReadNamedTokens(file, object, config); !status.ok()) return status;
  if (const auto added = object.find("added_tokens_decoder"); added != object.end() && !added->is_null()) {
    if (absl::Status status = ReadAddedTokens(file, *added, config); !status.ok()) return status;
    // A named token that is an added token too has the flags written there.
    for (const auto& [id, token] : config.added) {
      for (auto& [name, named] : config.named) {
        if (named.content == token.content) named = token;
      }
    }
    return config;
  }
  // Files saved before added_tokens_decoder existed keep them in a file of their own.
  if (!fs::exists(map_file, error)) return config;
  absl::StatusOr<json> map = ReadObject(map_file);
  if (!map.ok()) return map.status();
  if (absl::Status status = ReadNamedTokens(map_file, *map, config); !status.ok()) return status;
  return config;
}

}  // namespace pixelrec::tokenizer
