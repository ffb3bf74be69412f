// A job.yaml from disk or standard input.
//
// Threads: one.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/config/job_document.h"

namespace pixelrec::ctl {

// `file` "-": standard input, with relative paths in it relative to the working directory. Every error is INVALID_ARGUMENT and
// names the file.
absl::StatusOr<config::JobDocument> ReadJobFile(const std::string& file, const std::vector<std::string>& overrides);

// The data files and model directories a job names exist and can be read here.
// INVALID_ARGUMENT: "job.yaml:5:29: spec.data.text_data: no such file: /data/items.csv".
absl::Status CheckJobPaths(const config::JobDocument& document);

// The coordinator's refusal ("spec.train.seed: ...") with the line and column of that field.
absl::Status PlaceRefusal(const config::JobDocument& document, const absl::Status& refusal);

}  // namespace pixelrec::ctl
