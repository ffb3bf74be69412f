// A job's story as people and as programs read it.
#pragma once

#include <string>

#include "ctl/client/job_story.h"
#include "ctl/render/data_output.h"

namespace pixelrec::ctl {

// What happened when, who failed first and what that cost, and where the time went.
std::string StoryText(const v1::Job& job, const JobStory& story, absl::TimeZone zone);
// `format` is kJson or kYaml.
std::string StoryData(const v1::Job& job, const JobStory& story, OutputFormat format);

}  // namespace pixelrec::ctl
