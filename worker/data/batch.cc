#include "worker/data/batch.h"

#include <algorithm>

#include "worker/data/negatives.h"
#include "worker/data/sample_sequence.h"

namespace pixelrec::data {
namespace {

constexpr int64_t kValidationRows = 64;   // rule W8
constexpr uint64_t kValidationEpoch = 0;  // training epochs count from 1
constexpr uint64_t kReplayedEpoch = ~uint64_t{0};
// Rule W11's draws belong to a step, not to a sample; this sets their keys apart from those of samples.
constexpr uint64_t kSharedDraws = uint64_t{1} << 63;

struct Range {
  int64_t begin;
  int64_t end;
  int64_t size() const { return end - begin; }
};

// Contiguous share of `whole` for a rank; shares differ by at most one.
Range Share(Range whole, int rank, int world_size) {
  return {whole.begin + whole.size() * rank / world_size, whole.begin + whole.size() * (rank + 1) / world_size};
}

Range StepSlice(const SampleSequence& sequence, const BatchOptions& options, int64_t step) {
  const auto total = static_cast<int64_t>(sequence.size());
  const int64_t begin = std::min(total, step * options.global_batch_size);
  return {begin, std::min(total, begin + options.global_batch_size)};
}

// The samples' items themselves, not a copy.
std::span<const uint32_t> ChunkOf(const Dataset& dataset, const Sample& sample) {
  return dataset.history(sample.user).subspan(sample.start, sample.length);
}

// Turns item numbers into indices of `items`, the ascending list of those that occur.
void IndexItems(std::vector<uint32_t>& items, std::initializer_list<std::vector<int64_t>*> lists) {
  for (const auto* list : lists) items.insert(items.end(), list->begin(), list->end());
  std::sort(items.begin(), items.end());
  items.erase(std::unique(items.begin(), items.end()), items.end());
  for (auto* list : lists) {
    for (int64_t& item : *list) {
      item = std::lower_bound(items.begin(), items.end(), static_cast<uint32_t>(item)) - items.begin();
    }
  }
}

int64_t ValidRows(const Dataset& dataset, const SampleSequence& sequence, Range slice) {
  int64_t rows = 0;
  for (int64_t i = slice.begin; i < slice.end; ++i) rows += dataset.samples()[sequence[static_cast<uint64_t>(i)]].length - 1;
  return rows;
}

// The order doesn't matter to sizes.
SampleSequence AnySequence(const Dataset& dataset, const BatchOptions& options) { return {options, 1, dataset.samples().size()}; }

// Rule T5: one stream for all epochs, by place; else by sample.
DrawKey KeyOf(const BatchOptions& options, uint64_t epoch, uint64_t place, uint64_t sample) {
  if (options.compat.reference_sampler) return {options.seed, kReplayedEpoch, place};
  return {options.seed, epoch, sample};
}

void AddRow(const Dataset& dataset, const BatchOptions& options, const DrawKey& key, uint64_t index, RankBatch& batch) {
  const Sample& sample = dataset.samples()[index];
  const std::span<const uint32_t> chunk = ChunkOf(dataset, sample);
  batch.samples.push_back(index);
  batch.positives.insert(batch.positives.end(), chunk.begin(), chunk.end());
  batch.row_offsets.push_back(static_cast<int64_t>(batch.positives.size()));
  batch.valid_rows += static_cast<int64_t>(chunk.size()) - 1;
  if (batch.negatives_per_row > 0) DrawSampleNegatives(dataset, options, key, sample, batch.negatives);
  if (options.compat.random_left_slots) DrawLeftSlots(dataset, key, sample, batch.left_slots);
}

// Rule W11: this rank's share of the step's K.
void AddSharedNegatives(const Dataset& dataset, const BatchOptions& options, uint64_t epoch, int64_t step, RankBatch& batch) {
  const Range draws = Share({0, options.num_negatives}, options.rank, options.world_size);
  batch.first_negative = draws.begin;
  for (int64_t slot = draws.begin; slot < draws.end; ++slot) {
    batch.negatives.push_back(DrawNegative(options.seed, epoch, kSharedDraws | static_cast<uint64_t>(step),
                                           static_cast<uint32_t>(slot), dataset.num_train_items(), {}));
  }
}

}  // namespace

int64_t StepsPerEpoch(const Dataset& dataset, const BatchOptions& options) {
  const auto total = static_cast<int64_t>(AnySequence(dataset, options).size());
  return (total + options.global_batch_size - 1) / options.global_batch_size;
}

int64_t MicroSteps(const Dataset& dataset, const BatchOptions& options, int64_t step_in_epoch) {
  const int64_t rows = StepSlice(AnySequence(dataset, options), options, step_in_epoch).size();
  return (rows + options.micro_batch_size - 1) / options.micro_batch_size;
}

RankBatch MakeBatch(const Dataset& dataset, const BatchOptions& options, int64_t epoch, int64_t step_in_epoch,
                    int64_t micro_step) {
  const auto epoch_key = static_cast<uint64_t>(epoch);
  const SampleSequence sequence(options, epoch_key, dataset.samples().size());
  const Range step = StepSlice(sequence, options, step_in_epoch);
  const int64_t micro_begin = std::min(step.end, step.begin + micro_step * options.micro_batch_size);
  const Range micro{micro_begin, std::min(step.end, micro_begin + options.micro_batch_size)};
  const Range mine = Share(micro, options.rank, options.world_size);

  RankBatch batch;
  batch.micro_step = micro_step;
  batch.negatives_per_row = NegativesPerSample(dataset, options);
  batch.global_valid_rows = ValidRows(dataset, sequence, step);
  batch.valid_rows_by_reference_rank.assign(static_cast<size_t>(options.reference_ranks), 0);
  for (int64_t i = micro.begin; i < micro.end; ++i) {
    const auto place = static_cast<uint64_t>(i);
    const int64_t rows = dataset.samples()[sequence[place]].length - 1;
    batch.valid_rows_by_reference_rank[static_cast<size_t>(sequence.rank_of(place))] += rows;
  }
  batch.row_offsets.push_back(0);
  for (int64_t i = mine.begin; i < mine.end; ++i) {
    const auto place = static_cast<uint64_t>(i);
    const uint64_t index = sequence[place];
    AddRow(dataset, options, KeyOf(options, epoch_key, place, index), index, batch);
    batch.row_ranks.push_back(sequence.rank_of(place));
  }
  const bool shared = batch.negatives_per_row == 0 && micro.size() > 0;
  if (shared) AddSharedNegatives(dataset, options, epoch_key, step_in_epoch, batch);
  for (int rank = 0; rank < options.world_size; ++rank) {
    const int64_t of_rows = Share(micro, rank, options.world_size).size() * batch.negatives_per_row;
    batch.negatives_by_rank.push_back(shared ? Share({0, options.num_negatives}, rank, options.world_size).size() : of_rows);
  }
  IndexItems(batch.items, {&batch.positives, &batch.negatives, &batch.left_slots});
  for (uint32_t item : batch.items) batch.tokens += static_cast<int64_t>(dataset.tokens(item).size()) + options.item_emb_token_n;
  return batch;
}

int64_t ValidationBatches(const Dataset& dataset) {
  return (static_cast<int64_t>(dataset.eval_users().size()) + kValidationRows - 1) / kValidationRows;
}

ValidationBatch MakeValidationBatch(const Dataset& dataset, uint64_t seed, int64_t index) {
  const auto users = static_cast<int64_t>(dataset.eval_users().size());
  const int64_t begin = std::min(users, index * kValidationRows);
  const int64_t end = std::min(users, begin + kValidationRows);
  const auto most = static_cast<size_t>(dataset.max_seq_length()) - 1;

  ValidationBatch batch;
  batch.row_offsets.push_back(0);
  for (int64_t i = begin; i < end; ++i) {
    const uint32_t user = dataset.eval_users()[static_cast<size_t>(i)];
    const std::span<const uint32_t> events = dataset.history(user);
    const std::span<const uint32_t> seen = events.first(events.size() - 1);  // the test target stays out (rule D6)
    const std::span<const uint32_t> row = seen.last(std::min(seen.size(), most + 1));
    batch.history.insert(batch.history.end(), row.begin(), row.end() - 1);
    batch.row_offsets.push_back(static_cast<int64_t>(batch.history.size()));
    batch.targets.push_back(row.back());
    DrawExactNegatives(dataset, {seed, kValidationEpoch, user}, row, batch.negatives);
  }
  IndexItems(batch.items, {&batch.history, &batch.targets, &batch.negatives});
  return batch;
}

}  // namespace pixelrec::data
