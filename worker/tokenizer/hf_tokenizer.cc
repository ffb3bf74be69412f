#include "worker/tokenizer/hf_tokenizer.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "worker/tokenizer/hf_tokenizers/hf_tokenizers.h"
#include "xxhash.h"

namespace pixelrec::tokenizer {
namespace {

HfView ViewOf(absl::string_view text) { return {reinterpret_cast<const uint8_t*>(text.data()), text.size()}; }

// Copies and frees.
std::string Take(HfString string) {
  std::string copy(reinterpret_cast<const char*>(string.data), string.size);
  hf_string_free(string);
  return copy;
}

// Raise the number when the same files come to give other ids: datasets prepared before are then made again.
std::string DigestOf(absl::string_view tokenizer_json, absl::string_view settings_json) {
  const std::string decisive = absl::StrCat("hf tokenizer 1\n", settings_json.size(), ":", settings_json, "\n", tokenizer_json);
  const XXH128_hash_t hash = XXH3_128bits(decisive.data(), decisive.size());
  return absl::StrFormat("%016x%016x", hash.high64, hash.low64);
}

class HfTokenizerAdapter : public Tokenizer {
 public:
  HfTokenizerAdapter(HfTokenizer* tokenizer, std::string digest) : tokenizer_(tokenizer), digest_(std::move(digest)) {}
  ~HfTokenizerAdapter() override { hf_tokenizer_free(tokenizer_); }
  HfTokenizerAdapter(const HfTokenizerAdapter&) = delete;
  HfTokenizerAdapter& operator=(const HfTokenizerAdapter&) = delete;

  absl::StatusOr<std::vector<int32_t>> Encode(absl::string_view text) const override {
    HfIds ids = {};
    HfString error = {};
    if (!hf_tokenizer_encode(tokenizer_, ViewOf(text), &ids, &error)) return absl::InvalidArgumentError(Take(error));
    const std::vector<int32_t> copy(ids.data, ids.data + ids.size);
    hf_ids_free(ids);
    return copy;
  }

  std::string TokenText(int32_t id) const override {
    HfString token = {};
    if (id < 0 || !hf_tokenizer_token(tokenizer_, static_cast<uint32_t>(id), &token)) return "";
    return Take(token);
  }

  int32_t vocab_size() const override { return static_cast<int32_t>(hf_tokenizer_id_bound(tokenizer_)); }
  const std::string& digest() const override { return digest_; }

 private:
  HfTokenizer* const tokenizer_;
  const std::string digest_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> MakeHfTokenizer(absl::string_view tokenizer_json, absl::string_view settings_json) {
  HfString error = {};
  HfTokenizer* const tokenizer = hf_tokenizer_new(ViewOf(tokenizer_json), ViewOf(settings_json), &error);
  if (tokenizer == nullptr) return absl::InvalidArgumentError(Take(error));
  return std::make_unique<HfTokenizerAdapter>(tokenizer, DigestOf(tokenizer_json, settings_json));
}

}  // namespace pixelrec::tokenizer
