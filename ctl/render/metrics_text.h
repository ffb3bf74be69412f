// A job's series of metrics as text: one line per point under one header, so that a live series and a finished one look alike.
#pragma once

#include <string>

#include "pixelrec/v1/events.pb.h"

namespace pixelrec::ctl {

// With a line end, as all of these.
std::string MetricsHeader();

// Of training: a row of figures. Of evaluations: one line each, in words.
std::string MetricPointText(const v1::MetricPoint& point);

}  // namespace pixelrec::ctl
