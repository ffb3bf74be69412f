#include "worker/tokenizer/vocabulary_bound.h"

#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "worker/tokenizer/bounded_file.h"

namespace pixelrec::tokenizer {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class BoundedTokenizer : public Tokenizer {
 public:
  BoundedTokenizer(std::unique_ptr<Tokenizer> tokenizer, int32_t vocab_size)
      : tokenizer_(std::move(tokenizer)), vocab_size_(vocab_size) {}

  absl::StatusOr<std::vector<int32_t>> Encode(absl::string_view text) const override {
    absl::StatusOr<std::vector<int32_t>> ids = tokenizer_->Encode(text);
    if (!ids.ok()) return ids;
    for (const int32_t id : *ids) {
      if (id < vocab_size_) continue;
      return BlameModel(absl::FailedPreconditionError(absl::StrCat(
          "the tokenizer gives the id ", id, " (\"", tokenizer_->TokenText(id), "\"), but the model has only ", vocab_size_,
          " embeddings (vocab_size of its config.json): the tokenizer belongs to another model, or the model's "
          "embeddings were not extended for the token")));
    }
    return ids;
  }

  std::string TokenText(int32_t id) const override { return tokenizer_->TokenText(id); }
  int32_t vocab_size() const override { return vocab_size_; }
  const std::string& digest() const override { return tokenizer_->digest(); }

 private:
  const std::unique_ptr<Tokenizer> tokenizer_;
  const int32_t vocab_size_;
};

}  // namespace

absl::StatusOr<std::optional<int32_t>> ReadModelVocabSize(const fs::path& model_dir) {
  const fs::path file = model_dir / "config.json";
  std::error_code error;
  if (!fs::exists(file, error)) return std::nullopt;
  absl::StatusOr<std::string> text = ReadBoundedFile(file, kMaxConfigBytes);
  if (!text.ok()) return text.status();
  const json config = json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return InvalidFile(file, "not a JSON object");
  const json* place = &config;
  // A model that also sees images keeps its language model's numbers apart.
  if (!config.contains("vocab_size") && config.contains("text_config") && config["text_config"].is_object()) {
    place = &config["text_config"];
  }
  const auto size = place->find("vocab_size");
  if (size == place->end() || size->is_null()) return std::nullopt;
  if (!size->is_number_integer() || size->get<int64_t>() < 1 || size->get<int64_t>() > std::numeric_limits<int32_t>::max()) {
    return InvalidFile(file, "vocab_size must be a whole number above 0");
  }
  return size->get<int32_t>();
}

std::unique_ptr<Tokenizer> WithinVocabulary(std::unique_ptr<Tokenizer> tokenizer, int32_t vocab_size) {
  if (tokenizer->vocab_size() <= vocab_size) return tokenizer;
  return std::make_unique<BoundedTokenizer>(std::move(tokenizer), vocab_size);
}

}  // namespace pixelrec::tokenizer
