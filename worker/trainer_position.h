// Where a rank is, as its training says it and as its worker reads it.
#pragma once

#include "worker/channel/position_page.h"
#include "worker/train/train_job.h"

namespace pixelrec {

channel::Position ToPosition(const dist::Whereabouts::Place& place);

}  // namespace pixelrec
