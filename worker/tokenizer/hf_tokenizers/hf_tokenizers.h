/* C functions over the Hugging Face tokenizers crate (src/lib.rs): what tokenizer.json says, executed by its own library.
 *
 * Not for use outside hf_tokenizer.cc, which wraps them. Threads: hf_tokenizer_encode and hf_tokenizer_token may be called on one
 * tokenizer from several threads at once. Errors: a function that fails says so and fills `error`; no panic crosses the border.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct HfTokenizer HfTokenizer;

/* Bytes of the caller, for the length of one call. */
typedef struct {
  const uint8_t* data;
  size_t size;
} HfView;

/* Made by the library; free it with the function of its type, once. */
typedef struct {
  uint8_t* data;
  size_t size;
} HfString;

typedef struct {
  uint32_t* data;
  size_t size;
} HfIds;

/* `tokenizer_json`: the file. `settings_json`: what tokenizer_config.json adds to it (struct Settings of src/lib.rs). NULL on
 * error. */
HfTokenizer* hf_tokenizer_new(HfView tokenizer_json, HfView settings_json, HfString* error);
void hf_tokenizer_free(HfTokenizer* tokenizer);

/* Ids of UTF-8 text with the post-processor's special tokens. */
bool hf_tokenizer_encode(const HfTokenizer* tokenizer, HfView text, HfIds* ids, HfString* error);

/* Every id of hf_tokenizer_encode is below it. */
uint32_t hf_tokenizer_id_bound(const HfTokenizer* tokenizer);

/* The token's text in the vocabulary; false: no such id. */
bool hf_tokenizer_token(const HfTokenizer* tokenizer, uint32_t id, HfString* token);

void hf_string_free(HfString string);
void hf_ids_free(HfIds ids);

#ifdef __cplusplus
}
#endif
