// Deterministic batches: the same samples and negatives at any world size and after any resume (rules W1, W2, W10-W12).
//
// Pure functions of (seed, epoch, step, share); no state, no clock, any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/data/compat.h"
#include "worker/data/dataset.h"

namespace pixelrec::data {

// A keyed permutation of 0..size-1, evaluated point by point (a Feistel network with cycle walking): nothing to store or shuffle.
class SampleOrder {
 public:
  SampleOrder(uint64_t seed, uint64_t epoch, uint64_t size);
  uint64_t operator[](uint64_t position) const;

 private:
  uint64_t key_[4];
  uint64_t size_;
  int half_bits_;
};

// Uniform draw from 1..num_items for (seed, epoch, sample, slot), avoiding `excluded` (sorted ascending); retries count up `try`.
// Precondition: some item is not excluded.
uint32_t DrawNegative(uint64_t seed, uint64_t epoch, uint64_t sample, uint32_t slot, uint32_t num_items,
                      std::span<const uint32_t> excluded);

// Sizes are at least 1; 0 <= rank < world_size.
struct BatchOptions {
  uint64_t seed = 42;
  // Samples per optimiser step (rule W10).
  int64_t global_batch_size = 4;
  // Samples per micro-step over all ranks (rule W12); need not divide the step: its last micro-step is short.
  int64_t micro_batch_size = 4;
  // 0: M per sample (rule W2). K: K for the whole step (rule W11), the same K in each of its micro-steps, so that accumulation
  // changes nothing.
  int num_negatives = 0;
  int rank = 0;
  int world_size = 1;
  CompatRules compat;  // those that act while drawing
  // Of the run that compat stands for: ranks as submitted, each with micro_batch_size / reference_ranks samples of a micro-step.
  // The stream follows from these, not from world_size, so a job that goes on with fewer workers still draws the same.
  int reference_ranks = 1;
  bool data_split = true;        // as the dataset was prepared; T3 asks
  int64_t item_emb_token_n = 1;  // embedding tokens that an item has; counted, not stored
};

// One rank's share of one micro-step, packed: no padding anywhere. Row = sample of this rank.
struct RankBatch {
  // Distinct items of this rank's positives and negatives, ascending: what the item LLM encodes, once each.
  std::vector<uint32_t> items;
  // [positions] index into `items` of every positive, row after row, oldest first.
  std::vector<int64_t> positives;
  // [rows + 1] where each row's positives start. Inputs of a row are all but its last positive, targets all but its first.
  std::vector<int64_t> row_offsets;
  // [negatives of this rank] index into `items`, row-major: M per row (rule W2), or this rank's contiguous share of K (rule W11).
  std::vector<int64_t> negatives;
  // Rule W2 or T3: M. Rule T4: its count. Rule W11: 0, the negatives belong to the whole step and this rank's are numbers
  // first_negative and up of its K.
  int64_t negatives_per_row = 0;
  int64_t first_negative = 0;
  int64_t micro_step = 0;
  // Negatives of every rank in this micro-step, by rank: sizes of the gather.
  std::vector<int64_t> negatives_by_rank;
  int64_t valid_rows = 0;         // (input, target) pairs of this rank
  int64_t global_valid_rows = 0;  // of the whole optimiser step, all ranks and micro-steps (rules W3, W12, W16)
  std::vector<uint64_t> samples;  // sample indices of this rank's rows
  int64_t tokens = 0;             // item tokens this rank encodes, embedding tokens included
  // Rule T1: M - length random items of every row, row after row, index into `items`. They are encoded, and nothing attends to
  // them: no loss depends on one.
  std::vector<int64_t> left_slots;
  std::vector<int> row_ranks;                         // [rows] rank of the reference's run (rules T5, N5); all 0 in exact
  std::vector<int64_t> valid_rows_by_reference_rank;  // [reference_ranks] of the whole micro-step, all ranks (rule N5)
};

// Steps in an epoch: ceil(samples / global_batch_size), samples padded as T5 says in compat; the last short batch is kept (rule
// W1).
int64_t StepsPerEpoch(const Dataset& dataset, const BatchOptions& options);
// Micro-steps of one step; the last step of an epoch may have fewer.
int64_t MicroSteps(const Dataset& dataset, const BatchOptions& options, int64_t step_in_epoch);

// epoch from 1, step_in_epoch and micro_step from 0. A rank may get zero rows (then every vector is empty but row_offsets = {0}).
RankBatch MakeBatch(const Dataset& dataset, const BatchOptions& options, int64_t epoch, int64_t step_in_epoch,
                    int64_t micro_step);

// Validation batches (rule W8): 64 users in user order, whatever the training batch or world size. History = last M-1 items of
// the train part (row's positives are history + target, at most M); only the last pair of a row is scored: valid_rows = rows.
// Negatives by W2 with a fixed epoch key, excluding the row's history and target. Users with fewer than three events are left
// out.
struct ValidationBatch {
  std::vector<uint32_t> items;
  std::vector<int64_t> history;      // [positions] into items
  std::vector<int64_t> row_offsets;  // [rows + 1] into history
  std::vector<int64_t> targets;      // [rows] into items
  std::vector<int64_t> negatives;    // [rows * M] into items
};
int64_t ValidationBatches(const Dataset& dataset);
ValidationBatch MakeValidationBatch(const Dataset& dataset, uint64_t seed, int64_t index);

// Order-free digest of (sample, negatives) pairs: XOR over ranks and steps gives JobResult.sample_digest, the same at
// any world size. A step added twice cancels out, so a resumed job must go on from the digest of its checkpoint.
struct SampleDigest {
  uint64_t low = 0;
  uint64_t high = 0;
  void Add(const RankBatch& batch, int64_t epoch, int64_t step_in_epoch);
  void Merge(const SampleDigest& other);
  std::string Hex() const;
  // The reverse. INVALID_ARGUMENT: not 32 hex digits.
  static absl::StatusOr<SampleDigest> FromHex(const std::string& hex);
};

}  // namespace pixelrec::data
