// Data rules of the reference that `exact` mends, each a switch of its own; all off is `exact`, all on what the reference does.
// Distribution and structure are the reference's, its random numbers are not: the streams are this project's (batch.h).
//
// Not switches: what costs without changing a result (Q7-Q9), and the order of equal timestamps, which in the reference depends
// on the machine (D4). D7 and D8 are the same in both.
//
// Threads: plain value.
#pragma once

namespace pixelrec::data {

struct CompatRules {
  // While preparing; part of the dataset's hash.
  bool columns_by_position = false;  // D1: item_id, user_id, timestamp are the last three columns, whatever the header says
  bool pandas_values = false;        // X2: pandas' list of missing values, numbers printed as Python prints them
  bool encode_empty_texts = false;  // X3: an item without text is the encoding of "", a BOS where the tokenizer has one (not W13)

  // While drawing batches.
  bool random_left_slots = false;         // T1: random items fill the left of short sequences
  bool padded_negatives = false;          // T3: length - 1 draws that avoid the sequence, the rest avoid only those (not W2)
  bool num_negatives_per_sample = false;  // T4: ceil(K / ranks / batch) draws for each sample, nothing avoided (not W11)
  bool reference_sampler = false;         // T5: strided ranks, padded by repetition, one random stream for all epochs (not W1)

  static constexpr CompatRules All() { return {true, true, true, true, true, true, true}; }
  bool operator==(const CompatRules&) const = default;
};

}  // namespace pixelrec::data
