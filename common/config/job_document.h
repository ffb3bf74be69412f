// A job.yaml with its places: what pixelrecctl needs to point at the line that the coordinator, or the file system, refused.
//
// Threads: a plain value; pure functions.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/config/field_reader.h"
#include "pixelrec/v1/job.pb.h"

namespace pixelrec::config {

struct JobDocument {
  v1::JobSpec spec;    // defaults applied, valid
  FieldValues fields;  // what the document itself says, and where

  // "job.yaml:7:3: spec.train.seed: MESSAGE" for a problem found later.
  std::string Refusal(const std::string& path, absl::string_view message) const;
};

// Like ParseJobYaml, and keeps the places.
absl::StatusOr<JobDocument> ParseJobDocument(absl::string_view yaml, absl::string_view file, absl::string_view base_dir,
                                             const std::vector<std::string>& overrides = {});

}  // namespace pixelrec::config
