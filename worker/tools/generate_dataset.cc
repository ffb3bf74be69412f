#include "worker/tools/generate_dataset.h"

#include <iostream>

namespace pixelrec::tools {

std::unique_ptr<GenerateDatasetOptions> AddGenerateDataset(CLI::App& app) {
  auto options = std::make_unique<GenerateDatasetOptions>();
  data::SyntheticOptions& synthetic = options->synthetic;
  CLI::App* command = app.add_subcommand("generate-dataset", "PixelRec-shaped synthetic interactions.csv and items.csv");
  command->add_option("--out", synthetic.out, "Folder to write to")->required();
  command->add_option("--users", synthetic.users, "Users")->capture_default_str();
  command->add_option("--items", synthetic.items, "Items")->capture_default_str();
  command->add_option("--mean-events", synthetic.mean_events, "Events per user on average; at least 5 each")
      ->capture_default_str();
  command->add_option("--seed", synthetic.seed, "The same seed gives the same files on every machine")->capture_default_str();
  command->add_flag("--replace", synthetic.replace, "Replace files that are there");
  options->command = command;
  return options;
}

int RunGenerateDataset(const GenerateDatasetOptions& options) {
  const auto files = data::GenerateDataset(options.synthetic);
  if (!files.ok()) {
    std::cerr << "error: " << files.status().message() << "\n";
    return absl::IsInvalidArgument(files.status()) || absl::IsAlreadyExists(files.status()) ? 2 : 1;
  }
  std::cout << "wrote " << files->events << " interactions to " << files->interactions.string() << "\n"
            << "wrote " << options.synthetic.items << " items to " << files->items.string() << "\n";
  return 0;
}

}  // namespace pixelrec::tools
