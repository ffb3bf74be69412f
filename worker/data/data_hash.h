// The name of a prepared dataset: a hash of everything that decides its content.
//
// Threads: pure functions, but for the files they read.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "worker/data/prepare.h"
#include "worker/data/source_file.h"
#include "worker/data/sources.h"
#include "worker/tokenizer/tokenizer.h"

namespace pixelrec::data {

// Errors as HashFile's.
absl::StatusOr<SourceHashes> HashSources(const PrepareOptions& options, const OnBytes& on_bytes);

std::string DataHash(const PrepareOptions& options, const SourceHashes& hashes, const tokenizer::Tokenizer& tokenizer);

}  // namespace pixelrec::data
