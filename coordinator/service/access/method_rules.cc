#include "coordinator/service/access/method_rules.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace pixelrec::coordinator {

namespace {

using rpc::Role;

constexpr Role kRoles[] = {Role::kAdmin, Role::kSubmitter, Role::kViewer, Role::kWorker};
constexpr Roles kAdmins = Only(Role::kAdmin);
constexpr Roles kSubmitters = kAdmins | Only(Role::kSubmitter);  // of their own jobs, where it is about one
constexpr Roles kReaders = kSubmitters | Only(Role::kViewer);
constexpr Roles kWorkers = kAdmins | Only(Role::kWorker);
constexpr Roles kEverybody = kReaders | Only(Role::kWorker);

constexpr MethodRule kRules[] = {
    {"/pixelrec.v1.JobService/SubmitJob", kSubmitters, false, true},
    {"/pixelrec.v1.JobService/GetJob", kReaders},
    {"/pixelrec.v1.JobService/ListJobs", kReaders},
    {"/pixelrec.v1.JobService/CancelJob", kSubmitters, false, true},
    {"/pixelrec.v1.JobService/PauseJob", kSubmitters, false, true},
    {"/pixelrec.v1.JobService/ResumeJob", kSubmitters, false, true},
    {"/pixelrec.v1.JobService/DeleteJob", kSubmitters, false, true},
    {"/pixelrec.v1.JobService/WatchJob", kReaders},
    {"/pixelrec.v1.JobService/StreamMetrics", kReaders},
    {"/pixelrec.v1.JobService/ListJobEvents", kReaders},
    {"/pixelrec.v1.JobService/ListCheckpoints", kReaders},
    {"/pixelrec.v1.JobService/ReadJobLog", kReaders},
    {"/pixelrec.v1.JobService/ListWorkers", kReaders},
    {"/pixelrec.v1.JobService/DrainWorker", kAdmins, false, true},
    {"/pixelrec.v1.JobService/UndrainWorker", kAdmins, false, true},
    {"/pixelrec.v1.WorkerService/Session", kWorkers, false, true},
    // Says no more than whether the process serves.
    {"/grpc.health.v1.Health/Check", kEverybody, true},
    {"/grpc.health.v1.Health/Watch", kEverybody, true},
    {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", kEverybody},
};

}  // namespace

absl::Span<const MethodRule> MethodRules() { return kRules; }

const MethodRule* FindRule(absl::string_view method) {
  for (const MethodRule& rule : kRules) {
    if (rule.method == method) {
      return &rule;
    }
  }
  return nullptr;
}

std::string RolesOf(const MethodRule& rule) {
  std::vector<absl::string_view> names;
  for (Role role : kRoles) {
    if (rule.Allows(role)) {
      names.push_back(rpc::RoleName(role));
    }
  }
  return absl::StrJoin(names, " or ");
}

std::string MethodRulesMarkdown() {
  std::string table = "| method | admin | submitter | viewer | worker | not known |\n|---|---|---|---|---|---|\n";
  for (const MethodRule& rule : kRules) {
    absl::StrAppend(&table, "| `", rule.method.substr(1), "` |");
    for (Role role : kRoles) {
      absl::StrAppend(&table, rule.Allows(role) ? " yes |" : " |");
    }
    absl::StrAppend(&table, rule.anyone ? " yes |" : " |", "\n");
  }
  return table;
}

}  // namespace pixelrec::coordinator
