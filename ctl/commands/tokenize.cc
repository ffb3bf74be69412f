// pixelrecctl tokenize: lines of text -> token ids. The trainer computes them.
#include <memory>
#include <string>
#include <vector>

#include "ctl/commands/commands.h"
#include "ctl/trainer_tool.h"

namespace pixelrec::ctl {
namespace {

struct TokenizeOptions {
  std::string model;
  std::string file;
  std::string format = "text";
};

int Tokenize(const Session& session, const TokenizeOptions& options) {
  std::vector<std::string> arguments = {"tokenize", "--model", options.model};
  if (options.format == "json") arguments.insert(arguments.end(), {"--format", "json"});
  if (!options.file.empty()) arguments.insert(arguments.end(), {"--", options.file});
  return BecomeTrainer(session, arguments);
}

}  // namespace

void AddTokenize(CLI::App& app, Session& session) {
  auto options = std::make_shared<TokenizeOptions>();
  CLI::App* const command = app.add_subcommand("tokenize", "Token ids of lines of text, a line for each");
  command->add_option("--model", options->model, "Model directory, best_model/ or a checkpoint")->required();
  command->add_option("FILE", options->file, "Text file; standard input if absent");
  command->add_option("-o,--output", options->format, "text (default): ids; json: a line of JSON with the tokens' texts too")
      ->check(CLI::IsMember({"text", "json"}));
  command->callback([&session, options] { session.chosen = [&session, options] { return Tokenize(session, *options); }; });
}

}  // namespace pixelrec::ctl
