// pixelrecctl dataset: synthetic data to try a size with, and what a prepared dataset holds.
#include <filesystem>
#include <memory>
#include <ostream>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/storage/atomic_file.h"
#include "ctl/client/job_dataset.h"
#include "ctl/commands/commands.h"
#include "ctl/exit_code.h"
#include "ctl/trainer_tool.h"

namespace pixelrec::ctl {
namespace {

struct GenerateOptions {
  std::string out;
  int64_t users = 200000;
  int64_t items = 96000;
  double mean_events = 19.8;
  uint64_t seed = 42;
  bool replace = false;
};

int Generate(const Session& session, const GenerateOptions& options) {
  std::vector<std::string> arguments = {"generate-dataset",
                                        "--out",
                                        options.out,
                                        "--users",
                                        absl::StrCat(options.users),
                                        "--items",
                                        absl::StrCat(options.items),
                                        "--mean-events",
                                        absl::StrCat(options.mean_events),
                                        "--seed",
                                        absl::StrCat(options.seed)};
  if (options.replace) arguments.emplace_back("--replace");
  return BecomeTrainer(session, arguments);
}

struct ReportOptions {
  std::string dataset;  // folder or job
  std::string format = "table";
};

// PREPARE writes the report beside the data, in every form it is asked for.
const char* FileOf(const std::string& format) {
  if (format == "json") return "report.json";
  return format == "html" ? "report.html" : "report.txt";
}

int Report(const Session& session, const ReportOptions& options) {
  std::filesystem::path folder = options.dataset;
  std::error_code error;
  // A folder that happens to be called like the job is not meant, unless a dataset lies in it.
  const bool is_dataset = std::filesystem::exists(folder / FileOf("json"), error);
  if (!is_dataset && (options.dataset.find('/') == std::string::npos || !std::filesystem::is_directory(folder, error))) {
    if (options.dataset.find('/') != std::string::npos) {
      return session.Fail(absl::NotFoundError(absl::StrCat(options.dataset, ": no such folder")));
    }
    auto client = session.Connect();
    if (!client.ok()) return session.Fail(client.status());
    const absl::StatusOr<std::string> path = DatasetOfJob(**client, options.dataset);
    if (!path.ok()) return session.Fail(path.status());
    folder = *path;
  }
  const absl::StatusOr<std::string> text = storage::ReadFile(folder / FileOf(options.format));
  if (absl::IsNotFound(text.status())) {
    return session.Fail(absl::NotFoundError(
        absl::StrCat(folder.string(),
                     ": no prepared dataset with a report; name the folder <dataset_cache_dir>/<data_hash> on this machine")));
  }
  if (!text.ok()) return session.Fail(text.status());
  session.out << *text;
  if (options.format == "table") session.out << "\nwith pictures: " << (folder / FileOf("html")).string() << "\n";
  return kExitOk;
}

void AddGenerate(CLI::App& dataset, Session& session) {
  const CLI::Range kCount(int64_t{1}, int64_t{1} << 31);  // users and items are numbered in 32 bits
  auto options = std::make_shared<GenerateOptions>();
  CLI::App* const command = dataset.add_subcommand("generate", "Write PixelRec-shaped synthetic interactions.csv and items.csv");
  command->add_option("--out", options->out, "Folder to write to")->required();
  command->add_option("--users", options->users, "Default 200000")->check(kCount);
  command->add_option("--items", options->items, "Default 96000")->check(kCount);
  command->add_option("--mean-events", options->mean_events, "Events per user on average, at least 5 each; default 19.8")
      ->check(CLI::Range(5.0, 100000.0));
  command->add_option("--seed", options->seed, "The same seed gives the same files on every machine; default 42");
  command->add_flag("--replace", options->replace, "Replace files that are there");
  command->callback([&session, options] { session.chosen = [&session, options] { return Generate(session, *options); }; });
}

void AddReport(CLI::App& dataset, Session& session) {
  auto options = std::make_shared<ReportOptions>();
  CLI::App* const command =
      dataset.add_subcommand("report", "What preparing a dataset found: lengths, popularity, what is missing");
  command->add_option("dataset", options->dataset, "Prepared dataset folder, or a job whose dataset lies on this machine")
      ->required();
  command->add_option("-o,--output", options->format, "table (default), json or html")
      ->check(CLI::IsMember({"table", "json", "html"}));
  command->callback([&session, options] { session.chosen = [&session, options] { return Report(session, *options); }; });
}

}  // namespace

void AddDataset(CLI::App& app, Session& session) {
  CLI::App* const dataset = app.add_subcommand("dataset", "Make synthetic data, look at prepared data");
  dataset->require_subcommand(1);
  AddGenerate(*dataset, session);
  AddReport(*dataset, session);
}

}  // namespace pixelrec::ctl
