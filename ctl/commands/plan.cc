#include "ctl/commands/plan.h"

#include <filesystem>
#include <optional>
#include <ostream>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/config/daemon_config.h"
#include "ctl/client/connection.h"
#include "ctl/client/job_file.h"
#include "ctl/client/trainer_answer.h"
#include "ctl/exit_code.h"
#include "ctl/local/cluster_state.h"
#include "ctl/plan/fit.h"
#include "ctl/plan/job_plan.h"
#include "ctl/plan/plan_text.h"
#include "ctl/render/json_output.h"
#include "ctl/render/quantity.h"
#include "ctl/render/table.h"
#include "nlohmann/json.hpp"

namespace pixelrec::ctl {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// What the coordinator says of the job, and of its workers. No coordinator: nobody to ask, which is no error.
absl::StatusOr<std::vector<Host>> AskCoordinator(const Session& session, const config::JobDocument& document) {
  auto client = session.Connect();
  if (!client.ok()) return client.status();
  v1::SubmitJobRequest request;
  *request.mutable_spec() = document.spec;
  request.set_validate_only(true);
  const absl::StatusOr<v1::Job> checked = (*client)->Submit(request);
  if (absl::IsUnavailable(checked.status())) {
    session.err << "note: " << OneLine(std::string(checked.status().message()))
                << ": neither its checks of the job nor its workers' memory are known\n";
    return std::vector<Host>();
  }
  if (!checked.ok()) return PlaceRefusal(document, checked.status());
  const absl::StatusOr<v1::ListWorkersResponse> workers = (*client)->Workers();
  if (!workers.ok()) return workers.status();
  return HostsOf(*workers);
}

// Free bytes where output_dir is or will be, if that is on this machine.
std::optional<int64_t> FreeDisk(const fs::path& output_dir) {
  std::error_code error;
  fs::path existing = output_dir;
  while (!fs::exists(existing, error) && existing.has_relative_path()) existing = existing.parent_path();
  const fs::space_info space = fs::space(existing, error);
  if (error) return std::nullopt;
  return static_cast<int64_t>(space.available);
}

absl::StatusOr<Json> AskForPlan(const v1::JobSpec& spec) {
  const absl::StatusOr<std::string> text =
      AskTrainer({"plan", "--spec", kInputPath, "--dataset-cache-dir", (DefaultCacheDir() / "datasets").string(),
                  "--dataset-cache-dir", config::WorkerConfig().dataset_cache_dir.string()},
                 ToJson(spec));
  if (!text.ok()) return text.status();
  Json json = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return absl::InternalError("the trainer's plan is not JSON");
  return json;
}

const char* NameOf(Fit fit) {
  switch (fit) {
    case Fit::kUnknown:
      return "unknown";
    case Fit::kFits:
      return "yes";
    case Fit::kMayFit:
      return "perhaps";
    case Fit::kNever:
      return "no";
  }
  return "unknown";
}

}  // namespace

int ShowPlan(const Session& session, const config::JobDocument& document, OutputFormat format) {
  const absl::StatusOr<Connection> connection = ResolveConnection(session.connection);
  if (!connection.ok()) return session.Fail(connection.status());
  const bool sees_files = SharesOurFiles(connection->server);
  if (sees_files) {
    if (absl::Status status = CheckJobPaths(document); !status.ok()) return session.Fail(status);
  }
  const auto hosts = AskCoordinator(session, document);
  if (!hosts.ok()) return session.Fail(hosts.status());
  auto json = AskForPlan(document.spec);
  if (!json.ok()) return session.Fail(json.status());
  const auto plan = ParseJobPlan(*json);
  if (!plan.ok()) return session.Fail(plan.status());
  const FitVerdict verdict = Judge(*plan, *hosts);
  const std::optional<int64_t> free_disk = sees_files ? FreeDisk(document.spec.output_dir()) : std::nullopt;
  if (format == OutputFormat::kTable) {
    session.out << PlanText(document.spec, *plan, verdict, free_disk) << std::flush;
  } else {
    (*json)["fits"] = {{"verdict", NameOf(verdict.fit)}, {"why", verdict.text}};
    (*json)["result_bytes"] = ResultBytes(document.spec, *plan);
    if (free_disk) (*json)["free_disk_bytes"] = *free_disk;
    session.out << JsonAs(*json, format) << std::flush;
  }
  if (verdict.fit == Fit::kNever) return session.Fail(absl::FailedPreconditionError("the job doesn't fit: " + verdict.text));
  if (free_disk && *free_disk < plan->checkpoint_bytes) {
    return session.Fail(
        absl::FailedPreconditionError(absl::StrCat("no checkpoint fits: it takes ", BytesText(plan->checkpoint_bytes), ", and ",
                                                   BytesText(*free_disk), " are free in ", document.spec.output_dir())));
  }
  return kExitOk;
}

}  // namespace pixelrec::ctl
