// Any bytes as a tokenizer.json and any text: refused, or ids inside the vocabulary, twice the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "worker/tokenizer/hf_tokenizer.h"

namespace {
constexpr char kNoSettings[] =
    R"({"added_tokens": [], "named_tokens": [], "template": null, "keep_post_processor": true, "bert": null,
                                   "split_special_tokens": false})";
}

// Input: u16 length of the text, the text, the file.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const size_t length = (data[0] | (size_t{data[1]} << 8)) % (size - 1);
  const absl::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);
  const absl::string_view text = rest.substr(0, length);
  const auto tokenizer = pixelrec::tokenizer::MakeHfTokenizer(rest.substr(length), kNoSettings);
  if (!tokenizer.ok()) return 0;
  const auto ids = (*tokenizer)->Encode(text);
  if (!ids.ok()) return 0;
  for (const int32_t id : *ids) {
    if (id < 0 || id >= (*tokenizer)->vocab_size()) abort();
  }
  if (*(*tokenizer)->Encode(text) != *ids) abort();
  return 0;
}
