// Text to token ids, as the model's own tokenizer makes them (rule X4).
//
// Threads: Encode may be called from several threads at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace pixelrec::tokenizer {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Ids of `text` with the special tokens the model's configuration asks for (Llama: BOS first, no EOS), not truncated.
  // INVALID_ARGUMENT: `text` is not UTF-8. FAILED_PRECONDITION: an id is outside the model's vocabulary (BlamesModel).
  virtual absl::StatusOr<std::vector<int32_t>> Encode(absl::string_view text) const = 0;

  // How the vocabulary writes `id`, for people to read; empty if there is no such id.
  virtual std::string TokenText(int32_t id) const = 0;

  // Number of ids; every id of Encode is below it.
  virtual int32_t vocab_size() const = 0;

  // Hex digest of everything that decides the ids: tokenizer files and special-token settings.
  virtual const std::string& digest() const = 0;
};

// Reads the tokenizer of a Hugging Face model directory. The first of these files that is there decides (docs/adr/0005):
//   tokenizer.json    the Hugging Face tokenizers crate, with the tokens and rules that tokenizer_config.json adds
//   tokenizer.model   SentencePiece, with the BOS/EOS rules of tokenizer_config.json
//   vocab.txt         BERT's WordPiece
// Ids are kept below the vocab_size of the directory's config.json, if it has one.
// NOT_FOUND: no directory or no tokenizer in it. INVALID_ARGUMENT: a file is damaged or of a kind not read (the message names the
// file and what would be read).
absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(const std::filesystem::path& model_dir);

// Is the model directory at fault, not the text? True of every error of LoadTokenizer.
bool BlamesModel(const absl::Status& status);

// `status`, for which BlamesModel is true; OK stays OK.
absl::Status BlameModel(absl::Status status);

}  // namespace pixelrec::tokenizer
