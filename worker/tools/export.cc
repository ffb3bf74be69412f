#include "worker/tools/export.h"

#include <ATen/Parallel.h>

#include <iostream>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/checkpoint/hllm_export.h"
#include "worker/dist/process_group.h"
#include "worker/eval/item_matrix.h"
#include "worker/tools/embedding_files.h"
#include "worker/tools/trained_model.h"
#include "worker/train/failure.h"

namespace pixelrec::tools {
namespace {

using checkpoint::ExportFormat;

const std::map<std::string, ExportFormat>& WeightFormats() {
  static const auto* const formats =
      new std::map<std::string, ExportFormat>{{"hf", ExportFormat::kHuggingFace},
                                              {"reference-safetensors", ExportFormat::kReferenceSafetensors},
                                              {"reference-bin", ExportFormat::kReferenceBin}};
  return *formats;
}

// Item embeddings of a prepared dataset's items.
absl::Status WriteEmbeddings(const std::filesystem::path& dir, const checkpoint::HllmWeights& weights,
                             const checkpoint::ExportOptions& models, const std::string& dataset) {
  auto model = OpenModelOf(weights, models.item_model_dir, models.user_model_dir, dataset);
  if (!model.ok()) return model.status();
  const at::Tensor items = eval::EncodeAllItems(*model->dataset, *model->hllm, dist::ProcessGroup::Alone());
  if (auto status = WriteItemEmbeddings(dir, items, *model->dataset); !status.ok()) return status;
  return checkpoint::WriteExportFile(dir, "embeddings", weights);
}

absl::Status Export(const ExportCommandOptions& options) {
  auto weights = checkpoint::OpenHllmWeights(options.source);
  if (!weights.ok()) return weights.status();
  for (const auto& [name, why] : weights->ignored) std::cerr << "ignored: " << name << ": " << why << "\n";
  const checkpoint::ExportOptions models = checkpoint::WithKnownModels(
      {.item_model_dir = options.item_model_dir, .user_model_dir = options.user_model_dir}, options.source);
  auto staging = checkpoint::StageExport(options.out, options.force);
  if (!staging.ok()) return staging.status();
  absl::Status written;
  const auto format = WeightFormats().find(options.format);
  if (format == WeightFormats().end()) {
    written = train::Fenced([&] { return WriteEmbeddings(*staging, *weights, models, options.dataset); });
  } else {
    checkpoint::ExportOptions with_format = models;
    with_format.format = format->second;
    auto notices = checkpoint::WriteExport(*staging, *weights, with_format);
    written = notices.status();
    if (notices.ok()) {
      for (const std::string& notice : *notices) std::cerr << notice << "\n";
    }
  }
  if (auto status = checkpoint::FinishExport(*staging, options.out, written); !status.ok()) return status;
  std::cout << "exported " << weights->description << " to " << options.out << " (" << options.format << ")\n";
  return absl::OkStatus();
}

}  // namespace

std::unique_ptr<ExportCommandOptions> AddExport(CLI::App& app) {
  auto options = std::make_unique<ExportCommandOptions>();
  CLI::App* command = app.add_subcommand("export", "A trained model for other programs");
  command->add_option("source", options->source, "best_model/, a checkpoint, the reference's weights, or a DeepSpeed checkpoint")
      ->required();
  command->add_option("--format", options->format, "hf, reference-safetensors, reference-bin or embeddings")
      ->required()
      ->check(CLI::IsMember({"hf", "reference-safetensors", "reference-bin", "embeddings"}));
  command->add_option("--out", options->out, "Folder to make")->required();
  command->add_option("--item-model-dir", options->item_model_dir, "Model directory that the item LLM was trained from");
  command->add_option("--user-model-dir", options->user_model_dir, "Model directory that the user LLM was trained from");
  command->add_option("--dataset", options->dataset, "Prepared dataset whose items are embedded");
  command->add_flag("--force", options->force, "Replace an earlier export");
  command->add_option("--threads", options->threads, "Compute threads; 0: all")->check(CLI::NonNegativeNumber);
  options->command = command;
  return options;
}

int RunExport(const ExportCommandOptions& options) {
  if (options.format == "embeddings" && options.dataset.empty()) {
    std::cerr << "error: --format embeddings needs --dataset DIR: whose items?\n";
    return 2;
  }
  if (options.threads > 0) at::set_num_threads(options.threads);
  const absl::Status status = train::Fenced([&] { return Export(options); });
  if (status.ok()) return 0;
  std::cerr << "error: " << status.message() << "\n";
  return absl::IsNotFound(status) ? 3 : 1;
}

}  // namespace pixelrec::tools
