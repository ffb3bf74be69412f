// Whether training ends before its last epoch: a pure function of the epochs so far, so that a resumed job decides as the
// undisturbed one does.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "worker/train/train_job.h"

namespace pixelrec::train {

// The reason to stop, or nothing. An epoch is better when its metric is strictly better than all before it; epochs without the
// metric (not evaluated, or not finite) are passed over.
std::optional<std::string> ReasonToStopEarly(const EarlyStopping& options, std::span<const EpochRecord> epochs);

}  // namespace pixelrec::train
