#include "worker/plan/batch_shape.h"

#include <algorithm>
#include <numeric>

#include "worker/model/parts.h"
#include "worker/model/segments.h"

namespace pixelrec::plan {
namespace {

// Parts are cut where embedding tokens are counted, also if there are none.
BatchShape::Parts PartsOfItems(const model::Segments& items, bool pooled) {
  BatchShape::Parts parts;
  int64_t next = 0;
  for (const int64_t count : model::PartsOf(items)) {
    const int64_t tokens = items.offsets[static_cast<size_t>(next + count)] - items.offsets[static_cast<size_t>(next)];
    parts.push_back({.tokens = pooled ? tokens - count : tokens, .items = count});
    next += count;
  }
  return parts;
}

// An item goes to the pass in whose share of all tokens its middle lies.
std::vector<BatchShape::Parts> PassesOf(const model::Segments& items, int64_t passes, bool pooled) {
  std::vector<BatchShape::Parts> result;
  int64_t next = 0;
  for (int64_t pass = 1; pass <= passes; ++pass) {
    model::Segments some;
    while (next < items.count() &&
           (pass == passes || (2 * items.begin(next) + items.length(next)) * passes <= 2 * items.tokens() * pass))
      some.Append(items.length(next++));
    result.push_back(PartsOfItems(some, pooled));
  }
  return result;
}

template <typename Count>
int64_t SumOverParts(const std::vector<BatchShape::Parts>& passes, Count count) {
  int64_t sum = 0;
  for (const BatchShape::Parts& parts : passes) {
    for (const BatchShape::Part& part : parts) sum += part.*count;
  }
  return sum;
}

}  // namespace

int64_t BatchShape::tokens() const { return SumOverParts(passes, &Part::tokens); }
int64_t BatchShape::items() const { return SumOverParts(passes, &Part::items); }

BatchShape ShapeOf(const data::Dataset& dataset, const data::RankBatch& batch, bool pooled, int64_t passes) {
  model::Segments items;
  for (const uint32_t item : batch.items) items.Append(static_cast<int64_t>(dataset.tokens(item).size()) + 1);
  const auto& by_rank = batch.negatives_by_rank;
  return {.passes = PassesOf(items, passes, pooled),
          .rows = static_cast<int64_t>(batch.samples.size()),
          .pairs = batch.valid_rows,
          .negatives = static_cast<int64_t>(batch.negatives.size()),
          .largest_negatives = by_rank.empty() ? 0 : *std::max_element(by_rank.begin(), by_rank.end()),
          .all_negatives = std::accumulate(by_rank.begin(), by_rank.end(), int64_t{0})};
}

BatchShape LargestShape(const Bounds& bounds) {
  BatchShape shape{.rows = bounds.rows, .pairs = bounds.rows * (bounds.max_seq_length - 1)};
  const bool shared = bounds.num_negatives > 0;
  shape.largest_negatives =
      shared ? (bounds.num_negatives + bounds.world_size - 1) / bounds.world_size : bounds.rows * bounds.max_seq_length;
  shape.negatives = shape.largest_negatives;
  shape.all_negatives = shared ? bounds.num_negatives : shape.negatives * bounds.world_size;
  model::Segments items;
  const int64_t count = bounds.rows * bounds.max_seq_length + shape.negatives;
  for (int64_t i = 0; i < count; ++i) items.Append(bounds.max_text_length + 1);
  shape.passes = PassesOf(items, bounds.passes, bounds.pooled);
  return shape;
}

}  // namespace pixelrec::plan
