// A prepared dataset, mapped read-only: histories, item tokens, samples and names. Written by Prepare; format: docs/formats.md.
//
// Threads: immutable after Open; share it by const reference.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace pixelrec::data {

// One training chunk (rules D7, D8): `length` items of user `user` starting at position `start` of the user's history.
struct Sample {
  uint32_t user;
  uint32_t start;
  uint32_t length;
};

class Dataset {
 public:
  // Maps <cache_dir>/<hash>. NOT_FOUND: no such dataset. DATA_LOSS: a file is damaged (checksums, and every offset and index
  // before use); the message names the file and what is wrong. FAILED_PRECONDITION: written by another version of the format.
  static absl::StatusOr<std::unique_ptr<Dataset>> Open(const std::filesystem::path& path);
  ~Dataset();
  Dataset(const Dataset&) = delete;
  Dataset& operator=(const Dataset&) = delete;

  const std::string& data_hash() const;
  // Items are numbered 1..num_items() in order of first appearance (rules D3, W15); 0 is padding and never stored.
  uint32_t num_items() const;
  // Items 1..num_train_items() occur in the interactions (or item_data); the rest are cold (rule W15), never negatives.
  uint32_t num_train_items() const;
  uint32_t num_users() const;
  int32_t vocab_size() const;  // of the tokenizer
  int max_seq_length() const;  // M
  int max_text_length() const;

  // Token ids after truncation, without the embedding token; empty for an item without text (rule W13). item in 1..num_items().
  std::span<const uint32_t> tokens(uint32_t item) const;
  // With this many token ids the text of every item begins, of those that have any.
  size_t common_prefix() const;
  // All items of a user by (timestamp, file row) (rule W1). user in 0..num_users()-1, in order of D5.
  std::span<const uint32_t> history(uint32_t user) const;
  std::span<const Sample> samples() const;
  // Users with at least three events (rule W7), ascending: those of validation and evaluation.
  std::span<const uint32_t> eval_users() const;
  // When each event of history(user) happened, as in the CSV; the file row where it has no timestamp.
  std::span<const int64_t> times(uint32_t user) const;
  // How often an item occurs in the train parts of all users with at least three events (rule D6): the popularity baseline.
  std::span<const uint32_t> train_counts() const;  // [num_items() + 1], index 0 unused

  absl::string_view item_name(uint32_t item) const;  // id as written in the CSV
  // The text keys' values joined with " | ", for people to read; empty for an item without text.
  absl::string_view item_title(uint32_t item) const;
  absl::string_view user_name(uint32_t user) const;

 private:
  struct Impl;
  explicit Dataset(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pixelrec::data
