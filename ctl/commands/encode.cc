// pixelrecctl encode: embeddings of the items of a CSV, from a trained model. The trainer computes them.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ctl/commands/commands.h"
#include "ctl/trainer_tool.h"

namespace pixelrec::ctl {
namespace {

struct EncodeOptions {
  std::string model;
  std::string text_data;
  std::string out;
  std::string text_keys;
  std::optional<std::string> item_prompt;
  int max_text_length = 0;
  int threads = 0;
};

int Encode(const Session& session, const EncodeOptions& options) {
  std::vector<std::string> arguments = {"encode",          "--model", options.model, "--text-data",
                                        options.text_data, "--out",   options.out};
  const auto add = [&](const char* flag, const std::string& value) { arguments.insert(arguments.end(), {flag, value}); };
  if (!options.text_keys.empty()) add("--text-keys", options.text_keys);
  // Joined, because the prompt may be empty.
  if (options.item_prompt) arguments.push_back(absl::StrCat("--item-prompt=", *options.item_prompt));
  if (options.max_text_length > 0) add("--max-text-length", absl::StrCat(options.max_text_length));
  if (options.threads > 0) add("--threads", absl::StrCat(options.threads));
  return BecomeTrainer(session, arguments);
}

}  // namespace

void AddEncode(CLI::App& app, Session& session) {
  auto options = std::make_shared<EncodeOptions>();
  CLI::App* const command = app.add_subcommand("encode", "Item embeddings from texts, as item_embeddings.npy and item_ids.txt");
  command
      ->add_option("--model", options->model,
                   "best_model/, an export in Hugging Face format, a checkpoint or the output_dir of a job")
      ->required();
  command->add_option("--text-data", options->text_data, "CSV with item_id and the text columns")->required();
  command->add_option("--out", options->out, "Folder to write to")->required();
  command->add_option("--text-keys", options->text_keys, "Text columns in order, KEY,KEY,...; default: the model's");
  command->add_option("--item-prompt", options->item_prompt, "Text before each item; default: the model's");
  command->add_option("--max-text-length", options->max_text_length, "Tokens per item; default: the model's")
      ->check(CLI::Range(1, 1 << 24));
  command->add_option("--threads", options->threads, "Compute threads; default all")->check(CLI::Range(1, 4096));
  command->callback([&session, options] { session.chosen = [&session, options] { return Encode(session, *options); }; });
}

}  // namespace pixelrec::ctl
