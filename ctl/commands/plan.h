// pixelrecctl submit --plan: what a job would do and need, without submitting it.
#pragma once

#include "common/config/job_document.h"
#include "ctl/session.h"

namespace pixelrec::ctl {

// Prints the plan. Exit code 4: it can't fit on the workers or the disk there are.
int ShowPlan(const Session& session, const config::JobDocument& document, OutputFormat format);

}  // namespace pixelrec::ctl
