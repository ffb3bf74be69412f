// pixelrecctl inspect: what is in a checkpoint, a model directory or a file of tensors. The trainer reads it.
#include <memory>
#include <string>

#include "ctl/commands/commands.h"
#include "ctl/trainer_tool.h"

namespace pixelrec::ctl {
namespace {

struct InspectOptions {
  std::string path;
  std::string format = "table";
};

}  // namespace

void AddInspect(CLI::App& app, Session& session) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* const command = app.add_subcommand("inspect", "Show what is in a checkpoint, a model directory or a weight file");
  command->add_option("path", options->path, "Folder or file")->required();
  command->add_option("-o,--output", options->format, "table (default) or json")->check(CLI::IsMember({"table", "json"}));
  command->callback([&session, options] {
    session.chosen = [&session, options] {
      return BecomeTrainer(session, {"inspect", options->path, "--format", options->format});
    };
  });
}

}  // namespace pixelrec::ctl
