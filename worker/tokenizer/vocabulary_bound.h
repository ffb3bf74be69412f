// Keeps a tokenizer's ids inside the model's vocabulary: a tokenizer may know more tokens than the model has embeddings for.
//
// Threads: as Tokenizer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "worker/tokenizer/tokenizer.h"

namespace pixelrec::tokenizer {

// vocab_size of the directory's config.json; nothing if there is no such file or key. INVALID_ARGUMENT: not a positive number.
absl::StatusOr<std::optional<int32_t>> ReadModelVocabSize(const std::filesystem::path& model_dir);

// `tokenizer`, whose Encode now refuses a text that needs an id at or above `vocab_size`.
std::unique_ptr<Tokenizer> WithinVocabulary(std::unique_ptr<Tokenizer> tokenizer, int32_t vocab_size);

}  // namespace pixelrec::tokenizer
