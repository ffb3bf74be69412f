#include "worker/data/batch.h"

#include <algorithm>

#include "worker/data/philox.h"

namespace pixelrec::data {
namespace {

constexpr int64_t kValidationRows = 64;   // rule W8
constexpr uint64_t kValidationEpoch = 0;  // training epochs count from 1
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

Range StepSlice(const Dataset& dataset, const BatchOptions& options, int64_t step) {
  const auto total = static_cast<int64_t>(dataset.samples().size());
  const int64_t begin = std::min(total, step * options.global_batch_size);
  return {begin, std::min(total, begin + options.global_batch_size)};
}

// The samples' items themselves, not a copy.
std::span<const uint32_t> ChunkOf(const Dataset& dataset, const Sample& sample) {
  return dataset.history(sample.user).subspan(sample.start, sample.length);
}

void DrawRowNegatives(const Dataset& dataset, uint64_t seed, uint64_t epoch, uint64_t sample, std::span<const uint32_t> chunk,
                      std::vector<int64_t>& negatives) {
  std::vector<uint32_t> excluded(chunk.begin(), chunk.end());
  std::sort(excluded.begin(), excluded.end());
  for (int slot = 0; slot < dataset.max_seq_length(); ++slot) {
    negatives.push_back(DrawNegative(seed, epoch, sample, static_cast<uint32_t>(slot), dataset.num_train_items(), excluded));
  }
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

int64_t ValidRows(const Dataset& dataset, const SampleOrder& order, Range slice) {
  int64_t rows = 0;
  for (int64_t i = slice.begin; i < slice.end; ++i) rows += dataset.samples()[order[static_cast<uint64_t>(i)]].length - 1;
  return rows;
}

}  // namespace

int64_t StepsPerEpoch(const Dataset& dataset, const BatchOptions& options) {
  return (static_cast<int64_t>(dataset.samples().size()) + options.global_batch_size - 1) / options.global_batch_size;
}

int64_t MicroSteps(const Dataset& dataset, const BatchOptions& options, int64_t step_in_epoch) {
  const int64_t rows = StepSlice(dataset, options, step_in_epoch).size();
  return (rows + options.micro_batch_size - 1) / options.micro_batch_size;
}

RankBatch MakeBatch(const Dataset& dataset, const BatchOptions& options, int64_t epoch, int64_t step_in_epoch,
                    int64_t micro_step) {
  const auto epoch_key = static_cast<uint64_t>(epoch);
  const SampleOrder order(options.seed, epoch_key, dataset.samples().size());
  const Range step = StepSlice(dataset, options, step_in_epoch);
  const int64_t micro_begin = std::min(step.end, step.begin + micro_step * options.micro_batch_size);
  const Range micro{micro_begin, std::min(step.end, micro_begin + options.micro_batch_size)};
  const Range mine = Share(micro, options.rank, options.world_size);
  const Range shared{0, options.num_negatives};
  const bool per_row = options.num_negatives == 0;

  RankBatch batch;
  batch.micro_step = micro_step;
  batch.negatives_per_row = per_row ? dataset.max_seq_length() : 0;
  batch.global_valid_rows = ValidRows(dataset, order, step);
  batch.row_offsets.push_back(0);
  for (int64_t i = mine.begin; i < mine.end; ++i) {
    const uint64_t index = order[static_cast<uint64_t>(i)];
    const std::span<const uint32_t> chunk = ChunkOf(dataset, dataset.samples()[index]);
    batch.samples.push_back(index);
    batch.positives.insert(batch.positives.end(), chunk.begin(), chunk.end());
    batch.row_offsets.push_back(static_cast<int64_t>(batch.positives.size()));
    batch.valid_rows += static_cast<int64_t>(chunk.size()) - 1;
    if (per_row) DrawRowNegatives(dataset, options.seed, epoch_key, index, chunk, batch.negatives);
  }
  if (!per_row && micro.size() > 0) {
    const Range draws = Share(shared, options.rank, options.world_size);
    batch.first_negative = draws.begin;
    for (int64_t slot = draws.begin; slot < draws.end; ++slot) {
      batch.negatives.push_back(DrawNegative(options.seed, epoch_key, kSharedDraws | static_cast<uint64_t>(step_in_epoch),
                                             static_cast<uint32_t>(slot), dataset.num_train_items(), {}));
    }
  }
  for (int rank = 0; rank < options.world_size; ++rank) {
    const int64_t rows = Share(micro, rank, options.world_size).size();
    batch.negatives_by_rank.push_back(per_row            ? rows * dataset.max_seq_length()
                                      : micro.size() > 0 ? Share(shared, rank, options.world_size).size()
                                                         : 0);
  }
  IndexItems(batch.items, {&batch.positives, &batch.negatives});
  for (uint32_t item : batch.items) batch.tokens += static_cast<int64_t>(dataset.tokens(item).size()) + 1;
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
    DrawRowNegatives(dataset, seed, kValidationEpoch, user, row, batch.negatives);
  }
  IndexItems(batch.items, {&batch.history, &batch.targets, &batch.negatives});
  return batch;
}

}  // namespace pixelrec::data
