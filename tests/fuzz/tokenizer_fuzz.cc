// Any bytes as a tokenizer.model and any text: refused, or ids inside the vocabulary.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "worker/tokenizer/sentencepiece_tokenizer.h"

// Input: u16 length of the text, the text, the model.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const size_t length = (data[0] | (size_t{data[1]} << 8)) % (size - 1);
  const absl::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);
  const absl::string_view text = rest.substr(0, length);
  pixelrec::tokenizer::SpecialTokens special;
  special.required = false;
  const auto tokenizer = pixelrec::tokenizer::MakeSentencePieceTokenizer(rest.substr(length), special);
  if (!tokenizer.ok()) return 0;
  const auto ids = (*tokenizer)->Encode(text);
  if (!ids.ok()) return 0;
  for (int32_t id : *ids) {
    if (id < 0 || id >= (*tokenizer)->vocab_size()) abort();
  }
  return 0;
}
