// Every file and folder that a job names, whatever part of its spec names it.
//
// Threads: pure functions of the given message.
#pragma once

#include <string>
#include <vector>

#include "common/config/field.h"
#include "pixelrec/v1/job.pb.h"

namespace pixelrec::config {

struct NamedPath {
  const Field* field = nullptr;  // of JobFields()
  std::string path;
};

// Those that are there, in the order of job.yaml.
std::vector<NamedPath> PathsOf(const v1::JobSpec& spec);

}  // namespace pixelrec::config
