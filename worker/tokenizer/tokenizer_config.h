// tokenizer_config.json and special_tokens_map.json of a model directory: what they add to the tokenizer's own file.
//
// Threads: plain data.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace pixelrec::tokenizer {

// A token that is found in a text before anything else, as transformers writes it.
struct AddedToken {
  std::string content;
  bool single_word = false;
  bool lstrip = false;
  bool rstrip = false;
  bool normalized = false;
  bool special = true;
};

struct TokenizerConfig {
  bool present = false;         // there is a tokenizer_config.json
  std::string tokenizer_class;  // without "Fast"; empty: not said
  std::optional<bool> add_bos;
  std::optional<bool> add_eos;
  std::optional<bool> lower_case;
  std::optional<bool> chinese_chars;
  std::optional<bool> strip_accents;
  bool split_special_tokens = false;
  std::map<std::string, AddedToken> named;  // bos_token, eos_token, unk_token, sep_token, pad_token, cls_token, mask_token
  std::vector<AddedToken> extra;            // additional_special_tokens
  std::map<int64_t, AddedToken> added;      // added_tokens_decoder, by id

  // The named token's text, or `otherwise` if it is not set.
  std::string Named(absl::string_view name, absl::string_view otherwise) const;
  bool IsClass(absl::string_view name) const { return tokenizer_class == name; }
};

// bos_token and its like, in the order in which transformers adds them.
const std::vector<std::string>& NamedTokens();

// A missing file is an empty configuration. INVALID_ARGUMENT: names the file, the key and what it should be.
absl::StatusOr<TokenizerConfig> ReadTokenizerConfig(const std::filesystem::path& model_dir);

}  // namespace pixelrec::tokenizer
