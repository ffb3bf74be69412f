// What tokenizer_config.json adds to tokenizer.json, as JSON for the crate; and a whole tokenizer.json for a BERT vocab.txt.
//
// Threads: any.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/tokenizer/tokenizer_config.h"

namespace pixelrec::tokenizer {

// `struct Settings` of hf_tokenizers/src/lib.rs.
std::string HfSettings(const TokenizerConfig& config);

// The tokenizer that BERT's class builds from its vocabulary, one token a line: clean, lower-case, split, WordPiece, [CLS] and
// [SEP] around it. Adds the class's own special tokens to `config`. INVALID_ARGUMENT: the vocabulary lacks one that is needed.
absl::StatusOr<std::string> BertTokenizerJson(absl::string_view vocab_txt, TokenizerConfig& config);

}  // namespace pixelrec::tokenizer
