// job.yaml described for people and for editors, from the table that also parses it.
#pragma once

#include <string>

namespace pixelrec::ctl {

// A whole job.yaml with every key, its default and a comment. It parses as it stands; what this version can't do is commented
// out.
std::string JobTemplate();

// JSON Schema (draft 07) of job.yaml: configs/schema/job.schema.json.
std::string JobSchema();

}  // namespace pixelrec::ctl
