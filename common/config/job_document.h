// A job.yaml with its places: what pixelrecctl needs to point at the line that the coordinator, or the file system, refused.
//
// Threads: a plain value; pure functions.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/config/field_reader.h"
#include "common/config/text_file.h"
#include "pixelrec/v1/job.pb.h"

namespace pixelrec::config {

// Reads a file that a document names. NOT_FOUND, PERMISSION_DENIED, INVALID_ARGUMENT: "FILE: why not".
using FileReader = std::function<absl::StatusOr<std::string>(const std::filesystem::path& file)>;

struct JobDocument {
  v1::JobSpec spec;    // defaults applied, valid
  FieldValues fields;  // what the document and its DeepSpeed file say, and where
  // What of the DeepSpeed file has no effect here, a line each; the user must see them.
  std::vector<std::string> notices;

  // "job.yaml:7:3: spec.train.seed: MESSAGE" for a problem found later.
  std::string Refusal(const std::string& path, absl::string_view message) const;
};

// Like ParseJobYaml, and keeps the places. spec.distributed.deepspeed_config is read by `read_file` and merged: the spec carries
// its values and no longer its path.
absl::StatusOr<JobDocument> ParseJobDocument(absl::string_view yaml, absl::string_view file, absl::string_view base_dir,
                                             const std::vector<std::string>& overrides = {},
                                             const FileReader& read_file = ReadTextFile);

}  // namespace pixelrec::config
