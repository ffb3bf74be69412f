// What `submit --follow` and `watch` show while a job runs: bars that are redrawn on a terminal, plain lines elsewhere.
//
// Threads: one at a time. Output goes to the given stream and is flushed after every call.
#pragma once

#include <memory>
#include <ostream>
#include <string>

#include "absl/time/time.h"
#include "pixelrec/v1/events.pb.h"
#include "pixelrec/v1/job.pb.h"

namespace pixelrec::ctl {

class FollowView {
 public:
  struct Options {
    std::ostream* out = nullptr;
    absl::TimeZone zone;
    // Terminal columns; 0: not a terminal, plain lines.
    int columns = 0;
    // A plain progress line is written no oftener than this, by the events' own times.
    absl::Duration progress_every = absl::Seconds(2);
  };
  static std::unique_ptr<FollowView> Create(Options options);

  virtual ~FollowView() = default;
  virtual void Show(const v1::JobEvent& event, const v1::Job& job) = 0;
  virtual void ShowConnection(bool lost) = 0;
  // Clears what is redrawn, so that other text can follow.
  virtual void Finish() = 0;
};

// "epoch 1/2 step 120/468 loss 4.9876 lr 1.8e-03 12,345 tokens/s ETA 3m 12s", or the section's share.
std::string ProgressLine(const v1::Progress& progress);

// "[=====>    ]" of `width` columns between the brackets.
std::string Bar(double share, int width);

}  // namespace pixelrec::ctl
