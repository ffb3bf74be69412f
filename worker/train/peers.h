// The start of a gang: ranks find each other, agree on what they compute on, and form their groups.
//
// Threads: the training thread; collective.
#pragma once

#include "absl/status/status.h"
#include "worker/train/session.h"
#include "worker/train/train_job.h"

namespace pixelrec::train {

// Sets session.device and its groups. Rank 0 tells the link what was chosen and why. Errors: kBadSpec where job.backend can't be
// had, else kCollective.
absl::Status MeetPeers(Session& session, WorkerLink& link);

}  // namespace pixelrec::train
