// pixelrec-trainer plan: a job's spec, as `pixelrecctl validate -o json` prints it, to the plan of worker/tools/job_plan.h.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

namespace pixelrec {

struct JobPlanOptions {
  CLI::App* command = nullptr;  // owned by the program's CLI::App
  std::string spec;             // file; "-": standard input
  std::vector<std::string> dataset_cache_dirs;
};

std::unique_ptr<JobPlanOptions> AddJobPlan(CLI::App& app);
// Prints JSON. Exit code: 0, 3 (no such model or data), 4 (the job is refused), 1.
int RunJobPlan(const JobPlanOptions& options);

}  // namespace pixelrec
