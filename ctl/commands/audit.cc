// pixelrecctl audit: proves from a job's history that every epoch visited each sample exactly once. The trainer computes what the
// data and the settings give; this compares.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/storage/atomic_file.h"
#include "ctl/client/job_dataset.h"
#include "ctl/client/sample_audit.h"
#include "ctl/commands/commands.h"
#include "ctl/exit_code.h"
#include "ctl/render/audit_text.h"
#include "ctl/trainer_tool.h"

namespace pixelrec::ctl {
namespace {

namespace fs = std::filesystem;

struct AuditOptions {
  std::string job;
  std::string dataset;
  std::string prepare_in;
  OutputFormat format = OutputFormat::kTable;
};

// Where the data are: flags for the trainer.
absl::StatusOr<std::vector<std::string>> DataArguments(JobClient& client, const AuditOptions& options,
                                                       const std::string& job_id) {
  if (!options.prepare_in.empty()) return std::vector<std::string>{"--prepare-in", options.prepare_in};
  if (!options.dataset.empty()) return std::vector<std::string>{"--dataset", options.dataset};
  const absl::StatusOr<std::string> dataset = DatasetOfJob(client, job_id);
  if (!dataset.ok()) return dataset.status();
  std::error_code error;
  if (!fs::is_directory(*dataset, error)) {
    return absl::NotFoundError(
        absl::StrCat("the prepared dataset ", *dataset,
                     " is not on this machine: name a copy with --dataset DIR, or have the job's CSV files "
                     "prepared again with --prepare-in DIR"));
  }
  return std::vector<std::string>{"--dataset", *dataset};
}

absl::StatusOr<ExpectedSamples> AskForSamples(const v1::JobSpec& spec, const std::vector<SampleRecord>& records,
                                              std::vector<std::string> arguments) {
  std::string folder = (fs::temp_directory_path() / "pixelrec-audit-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) return storage::ErrnoStatus(errno, "can't make a folder", folder);
  const absl::Cleanup remove = [&] {
    std::error_code ignored;
    fs::remove_all(folder, ignored);
  };
  const fs::path file = fs::path(folder) / "spec.json";
  if (absl::Status status = storage::WriteFileAtomically(file, ToJson(spec)); !status.ok()) return status;
  arguments.insert(arguments.begin(), {"samples", "--spec", file.string()});
  for (const SampleRecord& record : records) arguments.push_back(absl::StrCat("--step=", record.step));
  const absl::StatusOr<std::string> answer = AskTrainer(arguments);
  if (!answer.ok()) return answer.status();
  return ParseExpectedSamples(*answer);
}

absl::StatusOr<SampleAudit> MakeAudit(JobClient& client, const AuditOptions& options) {
  const absl::StatusOr<v1::Job> job = client.Get(options.job);
  if (!job.ok()) return job.status();
  const absl::StatusOr<v1::ListJobEventsResponse> history = client.Events(job->job_id(), 0);
  if (!history.ok()) return history.status();
  const auto records = SampleRecordsOf(*job, *history);
  if (!records.ok()) return records.status();
  const auto data = DataArguments(client, options, job->job_id());
  if (!data.ok()) return data.status();
  const auto expected = AskForSamples(job->spec(), *records, *data);
  if (!expected.ok()) return expected.status();
  return AuditSamples(*job, *history, *records, *expected);
}

int Audit(const Session& session, const AuditOptions& options) {
  auto client = session.Connect();
  if (!client.ok()) return session.Fail(client.status());
  const absl::StatusOr<SampleAudit> audit = MakeAudit(**client, options);
  if (!audit.ok()) return session.Fail(audit.status());
  session.out << (options.format == OutputFormat::kTable ? AuditText(*audit) : AuditData(*audit, options.format)) << std::flush;
  for (const std::string& problem : audit->problems) session.err << "error: " << problem << "\n";
  return audit->problems.empty() ? kExitOk : kExitJobFailed;
}

}  // namespace

void AddAudit(CLI::App& app, Session& session) {
  auto options = std::make_shared<AuditOptions>();
  CLI::App* const command = app.add_subcommand("audit", "Prove that a job visited every sample exactly once per epoch");
  command->add_option("job", options->job, "Job id, the beginning of one, or a job's name")->required();
  CLI::Option* const dataset =
      command->add_option("--dataset", options->dataset, "The job's prepared dataset; default: where the job's worker put it");
  command->add_option("--prepare-in", options->prepare_in, "Prepare the job's CSV files again, in this folder")
      ->excludes(dataset);
  AddOutputOption(*command, options->format);
  command->callback([&session, options] { session.chosen = [&session, options] { return Audit(session, *options); }; });
}

}  // namespace pixelrec::ctl
