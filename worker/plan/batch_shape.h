// What the activations of one rank's micro-step depend on, besides the model.
//
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include "worker/data/batch.h"
#include "worker/data/dataset.h"

namespace pixelrec::plan {

struct BatchShape {
  // Items that a layer computes at once (model::PartsOf).
  struct Part {
    int64_t tokens = 0;  // embedding tokens included
    int64_t items = 0;
  };
  using Parts = std::vector<Part>;
  // What is encoded at once, each its parts: one, but with train.grad_cache. Never empty.
  std::vector<Parts> passes = {{}};
  int64_t rows = 0;               // users
  int64_t pairs = 0;              // (input, target) pairs: positions that the user LLM reads, and rows of the loss
  int64_t negatives = 0;          // of this rank
  int64_t largest_negatives = 0;  // of any rank
  int64_t all_negatives = 0;      // of all ranks, which every row is compared with

  int64_t tokens() const;
  int64_t items() const;
};

// `pooled`: items have no embedding token (item_emb_token_n 0). Items are spread over the passes by their tokens.
BatchShape ShapeOf(const data::Dataset& dataset, const data::RankBatch& batch, bool pooled, int64_t passes = 1);

// An upper bound for data that isn't prepared: `rows` users with the longest history, all items distinct and as long as allowed.
struct Bounds {
  int64_t rows = 0;
  int64_t max_seq_length = 0;
  int64_t max_text_length = 0;
  int64_t num_negatives = 0;  // of the whole step (rule W11); 0: max_seq_length for each user
  int world_size = 1;
  bool pooled = false;
  int64_t passes = 1;
};
BatchShape LargestShape(const Bounds& bounds);

}  // namespace pixelrec::plan
