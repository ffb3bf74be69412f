// Whether training ends before its last epoch: a pure function of the epochs so far, so that a resumed job decides as the
// undisturbed one does.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "worker/train/train_job.h"

namespace pixelrec::train {

// What the job asks for; in compat (best_by_ndcg) and unless it says otherwise, the reference's rule O5: NDCG at the largest
// cut-off, ended by the sixth epoch in a row that is worse than the best.
EarlyStopping EarlyStoppingOf(const TrainJob& job);

// Whether `epoch` becomes best_model/ after the epochs `before` it: by the lowest validation loss, or in compat by the highest
// NDCG, where as good is better (rule O5). A value that is not finite is never the best: no later one would compare better.
bool IsBest(const TrainJob& job, std::span<const EpochRecord> before, const EpochRecord& epoch,
            std::optional<double> best_validation_loss);

// The reason to stop, or nothing. An epoch is better when its metric is strictly better than all before it (or as good, where the
// options say so); epochs without the metric (not evaluated, or not finite) are passed over.
std::optional<std::string> ReasonToStopEarly(const EarlyStopping& options, std::span<const EpochRecord> epochs);

}  // namespace pixelrec::train
