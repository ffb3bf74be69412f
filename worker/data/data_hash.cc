#include "worker/data/data_hash.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "worker/data/dataset_format.h"
#include "xxhash.h"

namespace pixelrec::data {

absl::StatusOr<SourceHashes> HashSources(const PrepareOptions& options, const OnBytes& on_bytes) {
  SourceHashes hashes;
  const auto hash = [&](const std::filesystem::path& file, std::string& into) {
    absl::StatusOr<std::string> result = HashFile(file, on_bytes);
    if (result.ok()) into = *std::move(result);
    return result.status();
  };
  if (absl::Status status = hash(options.interaction_data, hashes.interactions); !status.ok()) return status;
  if (absl::Status status = hash(options.text_data, hashes.texts); !status.ok()) return status;
  if (!options.item_data) return hashes;
  if (absl::Status status = hash(*options.item_data, hashes.items); !status.ok()) return status;
  return hashes;
}

// Texts carry their length, so that no two lists of them read the same.
std::string DataHash(const PrepareOptions& options, const SourceHashes& hashes, const tokenizer::Tokenizer& tokenizer) {
  std::string decisive =
      absl::StrCat("pixelrec dataset ", kFormatVersion, "\n", hashes.interactions, "\n", hashes.texts, "\n", hashes.items, "\n",
                   tokenizer.digest(), "\n", options.item_prompt.size(), ":", options.item_prompt, "\n");
  for (const std::string& key : options.text_keys) absl::StrAppend(&decisive, key.size(), ":", key, "\n");
  absl::StrAppend(&decisive, "lengths ", options.max_seq_length, " ", options.max_text_length, " split ", options.data_split,
                  " cold ", options.cold_items);
  for (const auto& [rule, on] :
       {std::pair("D1", options.compat.columns_by_position), std::pair("X2", options.compat.pandas_values),
        std::pair("X3", options.compat.encode_empty_texts)}) {
    if (on) absl::StrAppend(&decisive, " ", rule);
  }
  const XXH128_hash_t hash = XXH3_128bits(decisive.data(), decisive.size());
  return absl::StrFormat("%016x%016x", hash.high64, hash.low64);
}

}  // namespace pixelrec::data
