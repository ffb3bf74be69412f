// The one table of job.yaml: every key, its type, default, range, and what this version can do of it. Parsing, defaults,
// validation, `pixelrecctl init` and configs/schema/job.schema.json are all driven by it.
#pragma once

#include <string>
#include <vector>

#include "common/config/field.h"

namespace pixelrec::config {

// In the order in which job.yaml shows them.
const std::vector<Field>& JobFields();

// Path of a field inside the JobSpec message ("spec.train.seed" -> "train.seed"); empty for apiVersion, which no message holds.
std::string SpecPath(const Field& field);

}  // namespace pixelrec::config
