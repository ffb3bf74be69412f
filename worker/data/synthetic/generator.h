// PixelRec-shaped data of any size, so that scale can be tried without licensed data: users with long-tailed histories, a flat
// popularity tail, item texts of about 85 tokens. A seed gives the same bytes on every machine: all chance is Philox, all
// arithmetic is on integers or exactly rounded.
//
// Not a model of taste: half of a user's events are on items of the user's own topic, which is all there is to learn.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <filesystem>

#include "absl/status/statusor.h"

namespace pixelrec::data {

struct SyntheticOptions {
  std::filesystem::path out;  // receives interactions.csv and items.csv
  int64_t users = 200000;
  int64_t items = 96000;
  double mean_events = 19.8;  // per user; every user has at least 5
  uint64_t seed = 42;
  bool replace = false;  // files that are there already
};

struct SyntheticFiles {
  std::filesystem::path interactions;  // user_id,item_id,timestamp; user by user, oldest first
  std::filesystem::path items;         // item_id,title,description,tag; one item in twenty has no description
  int64_t events = 0;
  int64_t bytes = 0;  // of both files
};

// INVALID_ARGUMENT: sizes out of range. ALREADY_EXISTS: a file is there and not to be replaced. RESOURCE_EXHAUSTED: no space. A
// file appears whole or not at all.
absl::StatusOr<SyntheticFiles> GenerateDataset(const SyntheticOptions& options);

}  // namespace pixelrec::data
