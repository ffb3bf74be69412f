#include "worker/data/negatives.h"

#include <algorithm>

namespace pixelrec::data {
namespace {

// Slots of the left fill lie beyond those of negatives, of which there are fewer.
constexpr uint32_t kLeftSlots = 1u << 31;

std::vector<uint32_t> Sorted(std::span<const uint32_t> items) {
  std::vector<uint32_t> sorted(items.begin(), items.end());
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

std::span<const uint32_t> ChunkOf(const Dataset& dataset, const Sample& sample) {
  return dataset.history(sample.user).subspan(sample.start, sample.length);
}

// What the reference calls the sequence: the chunk, or under D8 the whole train part that it is the end of. A train part that
// holds every item leaves nothing to draw (the reference never returns from there); the chunk always does (W2).
std::span<const uint32_t> SequenceOf(const Dataset& dataset, const BatchOptions& options, const Sample& sample) {
  const auto whole = dataset.history(sample.user).first(size_t{sample.start} + sample.length);
  if (options.data_split) return ChunkOf(dataset, sample);
  std::vector<uint32_t> distinct = Sorted(whole);
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  return distinct.size() < dataset.num_train_items() ? whole : ChunkOf(dataset, sample);
}

uint32_t Draw(const Dataset& dataset, const DrawKey& key, uint32_t slot, std::span<const uint32_t> avoided) {
  return DrawNegative(key.seed, key.epoch, key.sample, slot, dataset.num_train_items(), avoided);
}

// Fillers stand left of the others, so slot s of the M is the s-th from the left.
void DrawPaddedNegatives(const Dataset& dataset, const BatchOptions& options, const DrawKey& key, const Sample& sample,
                         std::vector<int64_t>& negatives) {
  const auto m = static_cast<uint32_t>(dataset.max_seq_length());
  const std::span<const uint32_t> sequence = SequenceOf(dataset, options, sample);
  const std::vector<uint32_t> positives = Sorted(sequence);
  const uint32_t careful = std::min(m, static_cast<uint32_t>(sequence.size()) - 1);
  std::vector<uint32_t> drawn;
  for (uint32_t slot = m - careful; slot < m; ++slot) drawn.push_back(Draw(dataset, key, slot, positives));
  const std::vector<uint32_t> avoided = Sorted(drawn);
  for (uint32_t slot = 0; slot < m - careful; ++slot) negatives.push_back(Draw(dataset, key, slot, avoided));
  negatives.insert(negatives.end(), drawn.begin(), drawn.end());
}

}  // namespace

void DrawExactNegatives(const Dataset& dataset, const DrawKey& key, std::span<const uint32_t> chunk,
                        std::vector<int64_t>& negatives) {
  const std::vector<uint32_t> positives = Sorted(chunk);
  const auto m = static_cast<uint32_t>(dataset.max_seq_length());
  for (uint32_t slot = 0; slot < m; ++slot) negatives.push_back(Draw(dataset, key, slot, positives));
}

void DrawSampleNegatives(const Dataset& dataset, const BatchOptions& options, const DrawKey& key, const Sample& sample,
                         std::vector<int64_t>& negatives) {
  if (options.num_negatives > 0) {
    const auto count = static_cast<uint32_t>(NegativesPerSample(dataset, options));
    for (uint32_t slot = 0; slot < count; ++slot) negatives.push_back(Draw(dataset, key, slot, {}));
  } else if (options.compat.padded_negatives) {
    DrawPaddedNegatives(dataset, options, key, sample, negatives);
  } else {
    DrawExactNegatives(dataset, key, ChunkOf(dataset, sample), negatives);
  }
}

void DrawLeftSlots(const Dataset& dataset, const DrawKey& key, const Sample& sample, std::vector<int64_t>& left_slots) {
  const std::vector<uint32_t> positives = Sorted(ChunkOf(dataset, sample));
  const auto empty = static_cast<uint32_t>(dataset.max_seq_length()) - sample.length;
  for (uint32_t slot = 0; slot < empty; ++slot) left_slots.push_back(Draw(dataset, key, kLeftSlots | slot, positives));
}

int64_t NegativesPerSample(const Dataset& dataset, const BatchOptions& options) {
  if (options.num_negatives == 0) return dataset.max_seq_length();
  if (!options.compat.num_negatives_per_sample) return 0;
  const int64_t shares = std::max<int64_t>(1, options.micro_batch_size);  // ranks x batch of each
  return (options.num_negatives + shares - 1) / shares;
}

}  // namespace pixelrec::data
