// What pixelrec-trainer does for the worker that spawned it: read the plan from the channel and carry it out.
#pragma once

namespace pixelrec {

// -> the process's exit code: 0, also when the worker asked to stop; 1 after a failure, which was reported over the channel.
int RunPlan(int channel_fd, int position_fd);

}  // namespace pixelrec
