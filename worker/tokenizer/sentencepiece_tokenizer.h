// A SentencePiece model as a Tokenizer: normalise, segment, fall back to bytes, add BOS and EOS.
//
// Threads: immutable after Create.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/tokenizer/tokenizer.h"

namespace pixelrec::tokenizer {

struct SpecialTokens {
  bool add_bos = true;
  bool add_eos = false;
  std::string bos;  // empty: as the model says
  std::string eos;
  // Without a tokenizer_config.json nothing asks for BOS but habit: then a model that has none goes without.
  bool required = true;
};

// INVALID_ARGUMENT: the model is damaged, or lacks a special token that is asked for. Messages have no file name.
absl::StatusOr<std::unique_ptr<Tokenizer>> MakeSentencePieceTokenizer(absl::string_view serialized_model,
                                                                      const SpecialTokens& special);

}  // namespace pixelrec::tokenizer
