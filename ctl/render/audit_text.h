// A sample audit as people and as programs read it.
#pragma once

#include <string>

#include "ctl/client/sample_audit.h"
#include "ctl/render/data_output.h"

namespace pixelrec::ctl {

// The epochs, the generations that did them, what was done twice, and the verdict if it is a good one.
std::string AuditText(const SampleAudit& audit);
// `format` is kJson or kYaml.
std::string AuditData(const SampleAudit& audit, OutputFormat format);

}  // namespace pixelrec::ctl
