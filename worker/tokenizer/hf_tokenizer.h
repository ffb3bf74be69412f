// tokenizer.json as a Tokenizer, executed by the Hugging Face tokenizers crate.
//
// Threads: as Tokenizer.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/tokenizer/tokenizer.h"

namespace pixelrec::tokenizer {

// `settings_json`: what tokenizer_config.json adds (hf_settings.h). INVALID_ARGUMENT: the file is damaged, of a kind that is not
// read, or would make ids random. Messages have no file name.
absl::StatusOr<std::unique_ptr<Tokenizer>> MakeHfTokenizer(absl::string_view tokenizer_json, absl::string_view settings_json);

}  // namespace pixelrec::tokenizer
