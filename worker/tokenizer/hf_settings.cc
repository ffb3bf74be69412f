#include "worker/tokenizer/hf_settings.h"

#include <algorithm>
#include <array>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"
#include "worker/tokenizer/utf8.h"

namespace pixelrec::tokenizer {
namespace {

using nlohmann::json;

// Classes whose own rule, not the file's post-processor, puts BOS and EOS around a text.
struct BosClass {
  absl::string_view name, bos, eos;
};
constexpr std::array<BosClass, 3> kBosClasses = {
    {{"LlamaTokenizer", "<s>", "</s>"}, {"CodeLlamaTokenizer", "<s>", "</s>"}, {"GemmaTokenizer", "<bos>", "<eos>"}}};

// [UNK] and its like: what BERT's class uses where tokenizer_config.json says nothing else.
constexpr std::array<std::pair<const char*, const char*>, 5> kBertTokens = {
    {{"unk_token", "[UNK]"}, {"sep_token", "[SEP]"}, {"pad_token", "[PAD]"}, {"cls_token", "[CLS]"}, {"mask_token", "[MASK]"}}};

json ToJson(const AddedToken& token) {
  return {{"content", token.content}, {"single_word", token.single_word}, {"lstrip", token.lstrip},
          {"rstrip", token.rstrip},   {"normalized", token.normalized},   {"special", token.special}};
}

json OptionalOf(const std::optional<bool>& value) { return value ? json(*value) : json(); }

void AddTemplate(const TokenizerConfig& config, json& settings) {
  settings["template"] = nullptr;
  settings["keep_post_processor"] = true;
  const auto* const own =
      std::find_if(kBosClasses.begin(), kBosClasses.end(), [&](const BosClass& c) { return config.IsClass(c.name); });
  if (own == kBosClasses.end()) return;
  const bool asked = config.add_bos || config.add_eos;
  if (!asked && config.named.count("bos_token") == 0) return;
  const bool bos = config.add_bos.value_or(true), eos = config.add_eos.value_or(false);
  settings["template"] = {{"bos", bos ? json(config.Named("bos_token", own->bos)) : json()},
                          {"eos", eos ? json(config.Named("eos_token", own->eos)) : json()}};
  settings["keep_post_processor"] = !asked;
}

json SpecialPiece(const std::string& token) { return {{"SpecialToken", {{"id", token}, {"type_id", 0}}}}; }
json SequencePiece(const char* id) { return {{"Sequence", {{"id", id}, {"type_id", 0}}}}; }

json BertPostProcessor(const std::string& cls, int64_t cls_id, const std::string& sep, int64_t sep_id) {
  const auto entry = [](const std::string& token, int64_t id) { return json{{"id", token}, {"ids", {id}}, {"tokens", {token}}}; };
  return {{"type", "TemplateProcessing"},
          {"single", {SpecialPiece(cls), SequencePiece("A"), SpecialPiece(sep)}},
          {"pair", {SpecialPiece(cls), SequencePiece("A"), SpecialPiece(sep), SequencePiece("B"), SpecialPiece(sep)}},
          {"special_tokens", {{cls, entry(cls, cls_id)}, {sep, entry(sep, sep_id)}}}};
}

// One token a line; a later line wins over an equal one before it.
json ReadVocabulary(absl::string_view text) {
  json vocabulary = json::object();
  std::vector<absl::string_view> lines = absl::StrSplit(text, '\n');
  if (!lines.empty() && lines.back().empty()) lines.pop_back();
  for (size_t i = 0; i < lines.size(); ++i) vocabulary[std::string(absl::StripTrailingAsciiWhitespace(lines[i]))] = i;
  return vocabulary;
}

}  // namespace

std::string HfSettings(const TokenizerConfig& config) {
  json settings = {{"added_tokens", json::array()},
                   {"named_tokens", json::array()},
                   {"bert", nullptr},
                   {"split_special_tokens", config.split_special_tokens}};
  const auto is_named = [&](const std::string& content) {
    return std::any_of(config.named.begin(), config.named.end(),
                       [&](const auto& named) { return named.second.content == content; });
  };
  for (auto [id, token] : config.added) {
    token.special |= is_named(token.content);
    settings["added_tokens"].push_back(ToJson(token));
  }
  for (const std::string& name : NamedTokens()) {
    if (const auto it = config.named.find(name); it != config.named.end()) settings["named_tokens"].push_back(ToJson(it->second));
  }
  for (const AddedToken& token : config.extra) settings["named_tokens"].push_back(ToJson(token));
  if (config.lower_case || config.chinese_chars || config.strip_accents) {
    settings["bert"] = {{"lowercase", OptionalOf(config.lower_case)},
                        {"handle_chinese_chars", OptionalOf(config.chinese_chars)},
                        {"strip_accents", OptionalOf(config.strip_accents)}};
  }
  AddTemplate(config, settings);
  return settings.dump(-1, ' ', false, json::error_handler_t::replace);
}

absl::StatusOr<std::string> BertTokenizerJson(absl::string_view vocab_txt, TokenizerConfig& config) {
  if (const size_t valid = ValidUtf8Prefix(vocab_txt); valid != vocab_txt.size()) {
    return absl::InvalidArgumentError(absl::StrCat("not a vocabulary: not UTF-8 at byte ", valid));
  }
  for (const auto& [name, text] : kBertTokens) config.named.try_emplace(name, AddedToken{.content = text});
  json vocabulary = ReadVocabulary(vocab_txt);
  for (const char* name : {"unk_token", "cls_token", "sep_token"}) {
    const std::string token = config.Named(name, "");
    if (vocabulary.contains(token)) continue;
    return absl::InvalidArgumentError(absl::StrCat("has no line \"", token, "\", which BERT needs as ", name));
  }
  const std::string cls = config.Named("cls_token", ""), sep = config.Named("sep_token", ""), unk = config.Named("unk_token", "");
  json tokenizer = {{"version", "1.0"},
                    {"truncation", nullptr},
                    {"padding", nullptr},
                    {"added_tokens", json::array()},
                    {"normalizer",
                     {{"type", "BertNormalizer"},
                      {"clean_text", true},
                      {"handle_chinese_chars", config.chinese_chars.value_or(true)},
                      {"strip_accents", OptionalOf(config.strip_accents)},
                      {"lowercase", config.lower_case.value_or(true)}}},
                    {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
                    {"post_processor", BertPostProcessor(cls, vocabulary[cls], sep, vocabulary[sep])},
                    {"decoder", nullptr}};
  tokenizer["model"] = {{"type", "WordPiece"},
                        {"unk_token", unk},
                        {"continuing_subword_prefix", "##"},
                        {"max_input_chars_per_word", 100},
                        {"vocab", std::move(vocabulary)}};
  return tokenizer.dump();
}

}  // namespace pixelrec::tokenizer
