#include "worker/train/validation.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>

#include <limits>
#include <numeric>
#include <vector>

#include "worker/data/batch.h"
#include "worker/model/index_tensor.h"

namespace pixelrec::train {

double ValidationLoss(const data::Dataset& dataset, const model::Hllm& hllm, const at::Tensor& items_IH,
                      const dist::ProcessGroup& group, uint64_t seed, const std::function<void()>& advanced) {
  const at::NoGradGuard no_graph;
  const int64_t batches = data::ValidationBatches(dataset);
  std::vector<double> sums(static_cast<size_t>(batches), 0), rows(static_cast<size_t>(batches), 0);
  // Every rank makes the same number of passes, an empty one at the end: they may be collective (model::WeightSchedule).
  for (int64_t first = 0; first < batches; first += group.world_size()) {
    advanced();
    const int64_t b = first + group.rank();
    if (b >= batches) {
      hllm.EncodeUsers(items_IH.narrow(0, 0, 0), {}, model::Rows::kLastOfSegment);
      continue;
    }
    const data::ValidationBatch batch = data::MakeValidationBatch(dataset, seed, b);
    // `items` of the batch are item ids, which are the rows of the matrix.
    const auto embeddings = [&](const std::vector<int64_t>& indices) {
      std::vector<int64_t> ids;
      ids.reserve(indices.size());
      for (const int64_t i : indices) ids.push_back(batch.items[static_cast<size_t>(i)]);
      return items_IH.index_select(0, model::IndexTensor(ids, items_IH.device()));
    };
    const at::Tensor users = hllm.EncodeUsers(embeddings(batch.history), {batch.row_offsets}, model::Rows::kLastOfSegment);
    const model::NceLoss loss =
        model::ComputeNceLoss(users, embeddings(batch.targets), embeddings(batch.negatives), hllm.weights().logit_scale);
    sums[static_cast<size_t>(b)] = loss.sum.item<double>();
    rows[static_cast<size_t>(b)] = static_cast<double>(batch.targets.size());
  }
  for (std::vector<double>* values : {&sums, &rows}) group.AllReduceSum(at::from_blob(values->data(), {batches}, at::kDouble));
  const double count = std::accumulate(rows.begin(), rows.end(), 0.0);
  return count > 0 ? std::accumulate(sums.begin(), sums.end(), 0.0) / count : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace pixelrec::train
