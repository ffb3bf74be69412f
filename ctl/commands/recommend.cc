// pixelrecctl recommend: titles for users or for a history, from a trained model. The trainer computes them; this names its
// inputs.
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ctl/client/job_dataset.h"
#include "ctl/client/job_state.h"
#include "ctl/commands/commands.h"
#include "ctl/exit_code.h"
#include "ctl/trainer_tool.h"

namespace pixelrec::ctl {
namespace {

struct RecommendOptions {
  std::string job;
  std::string model;
  std::string dataset;
  std::vector<std::string> users;
  std::string history;
  std::vector<std::string> items;
  std::string input;
  std::string out;
  int sample_users = 0;
  int k = 5;
  int threads = 0;
  std::string format = "table";
};

// Fills model and dataset from what the job wrote.
absl::Status LookUpJob(JobClient& client, RecommendOptions& options) {
  const absl::StatusOr<v1::Job> job = client.Get(options.job);
  if (!job.ok()) return job.status();
  if (options.model.empty()) {
    if (!job->has_best_model()) {
      return absl::NotFoundError(absl::StrCat("job ", job->job_id(), " has no model yet (", StateName(job->state()), ")"));
    }
    options.model = job->best_model().path();
  }
  if (!options.dataset.empty()) return absl::OkStatus();
  const absl::StatusOr<std::string> dataset = DatasetOfJob(client, job->job_id());
  if (!dataset.ok()) return dataset.status();
  options.dataset = *dataset;
  return absl::OkStatus();
}

std::vector<std::string> TrainerArguments(const RecommendOptions& options) {
  std::vector<std::string> arguments = {"recommend",     "--model", options.model,          "--dataset",
                                        options.dataset, "--k",     absl::StrCat(options.k)};
  const auto add = [&](const char* flag, const std::string& value) {
    arguments.emplace_back(flag);
    arguments.push_back(value);
  };
  for (const std::string& user : options.users) add("--user", user);
  if (!options.history.empty()) add("--history", options.history);
  for (const std::string& item : options.items) arguments.push_back(absl::StrCat("--item=", item));
  if (!options.input.empty()) add("--input", options.input);
  if (!options.out.empty()) add("--out", options.out);
  if (options.sample_users > 0) add("--sample-users", absl::StrCat(options.sample_users));
  if (options.threads > 0) add("--threads", absl::StrCat(options.threads));
  add("--format", options.format);
  return arguments;
}

int Recommend(const Session& session, RecommendOptions options) {
  const bool somebody = !options.users.empty() || !options.history.empty() || !options.items.empty() || !options.input.empty() ||
                        options.sample_users > 0;
  if (!somebody) {
    session.err << "error: say for whom: --user ID, --history ITEM,ITEM, --item TITLE, --input CSV or --sample-users N\n";
    return kExitUsage;
  }
  if (!options.job.empty()) {
    auto client = session.Connect();
    if (!client.ok()) return session.Fail(client.status());
    if (absl::Status status = LookUpJob(**client, options); !status.ok()) return session.Fail(status);
  } else if (options.model.empty() || options.dataset.empty()) {
    session.err << "error: say which model: --job JOB, or --model DIR and --dataset DIR\n";
    return kExitUsage;
  }
  return BecomeTrainer(session, TrainerArguments(options));
}

}  // namespace

void AddRecommend(CLI::App& app, Session& session) {
  auto options = std::make_shared<RecommendOptions>();
  CLI::App* const command = app.add_subcommand("recommend", "Recommend items with a trained model");
  command->add_option("--job", options->job, "Take the best model and the dataset of this job");
  command->add_option("--model", options->model,
                      "best_model/, an export in Hugging Face format, a checkpoint or the output_dir of a job");
  command->add_option("--dataset", options->dataset, "Prepared dataset directory");
  command->add_option("--user", options->users, "A user of the dataset; repeatable")->allow_extra_args(false);
  command->add_option("--history", options->history, "Item ids, oldest first: ID,ID,...");
  command->add_option("--item", options->items, "One item of a history, by id or title; repeat it, oldest first")
      ->allow_extra_args(false);
  auto* const input =
      command->add_option("--input", options->input, "CSV of histories: user_id,item_id, each user's oldest first");
  auto* const out = command->add_option("--out", options->out, "CSV to write: user_id,rank,item_id,title,score");
  input->needs(out);
  out->needs(input);
  command->add_option("--sample-users", options->sample_users, "This many users of the dataset, always the same")
      ->check(CLI::Range(1, 1000000));
  command->add_option("-k,--k", options->k, "Items per user; default 5")->check(CLI::Range(1, 100000));
  command->add_option("--threads", options->threads, "Compute threads; default all")->check(CLI::Range(1, 4096));
  command->add_option("-o,--output", options->format, "table (default) or json")->check(CLI::IsMember({"table", "json"}));
  command->callback([&session, options] { session.chosen = [&session, options] { return Recommend(session, *options); }; });
}

}  // namespace pixelrec::ctl
