// What `watch` shows on a terminal: a job as one screen, from what is known of it, the size of the screen and the time.
//
// Threads: pure functions, but for WatchState: one at a time.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "ctl/render/loss_curve.h"
#include "pixelrec/v1/events.pb.h"
#include "pixelrec/v1/job.pb.h"

namespace pixelrec::ctl {

// What is known of the job that is watched, in bounded memory.
struct WatchState {
  v1::Job job;
  v1::Progress progress;  // of the generation that runs; epochs 0 and no section: none
  LossCurve losses;
  std::deque<v1::JobEvent> events;  // the newest, without progress
  v1::JobEvent saved;               // the newest checkpoint
  v1::Artifact best;                // the best model; no path: none
  bool lost = false;                // the coordinator is gone

  // As JobFollower::Observer gives them.
  void Take(const v1::JobEvent& event, const v1::Job& newest);
  // Of the job's series, oldest first.
  void Take(const v1::MetricPoint& point);
};

struct ScreenOptions {
  int columns = 80;
  int rows = 24;
  absl::Time now;
  absl::TimeZone zone;
  bool utf8 = true;
  bool colour = true;
};

// At most `rows` lines of at most `columns` columns each, with the terminal's codes for colour where asked for.
std::vector<std::string> WatchScreen(const WatchState& state, const ScreenOptions& options);

}  // namespace pixelrec::ctl
