// For tests that run several ranks as threads of one process, which the product never does: there, a rank is a process.
//
// LibTorch notes every collective in one recorder for the whole process, whose map of groups is written without a lock: two ranks
// that start a collective at the same moment corrupt it. A buffer of size 0 switches the recorder off; it reads this when first
// used.
#pragma once

#include <cstdlib>

namespace pixelrec {

inline const int kFlightRecorderOff = setenv("TORCH_FR_BUFFER_SIZE", "0", /*overwrite=*/1);

}  // namespace pixelrec
