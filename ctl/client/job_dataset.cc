#include "ctl/client/job_dataset.h"

#include "absl/strings/str_cat.h"

namespace pixelrec::ctl {

absl::StatusOr<std::string> DatasetOfJob(JobClient& client, const std::string& job) {
  const absl::StatusOr<v1::ListJobEventsResponse> events = client.Events(job, 0);
  if (!events.ok()) return events.status();
  std::string path;
  for (const v1::JobEvent& event : events->events()) {
    if (event.has_dataset_prepared()) path = event.dataset_prepared().path();
  }
  if (path.empty()) return absl::NotFoundError(absl::StrCat("job ", job, " has no prepared dataset"));
  return path;
}

}  // namespace pixelrec::ctl
