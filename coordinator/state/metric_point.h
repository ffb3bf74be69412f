// What rank 0 reports, as a point of the job's series of metrics. Its place in the series is that of the report: generations
// count up, reports are numbered within one, and both survive the coordinator; so a reader that resumes from a sequence meets no
// point twice, whichever coordinator answers.
//
// Threads: pure functions.
#pragma once

#include <optional>

#include "coordinator/state/event.h"

namespace pixelrec::coordinator {

// Of a progress report. nullopt: it tells of no training step, or of one that `before` told of.
std::optional<v1::MetricPoint> TrainingPoint(const v1::RankReport& report, const std::optional<v1::Progress>& before, Now now);

// Of an epoch's or the job's result. nullopt: it is neither.
std::optional<v1::MetricPoint> EvaluationPoint(const v1::RankReport& report, const v1::Job& job, Now now);

}  // namespace pixelrec::coordinator
