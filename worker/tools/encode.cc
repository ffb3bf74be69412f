#include "worker/tools/encode.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <string>

#include "common/storage/atomic_file.h"
#include "worker/dist/process_group.h"
#include "worker/eval/item_matrix.h"
#include "worker/tokenizer/tokenizer.h"
#include "worker/tools/csv_items.h"
#include "worker/tools/embedding_files.h"
#include "worker/tools/trained_model.h"
#include "worker/train/failure.h"

namespace pixelrec::tools {
namespace {

void ShowProgress(double fraction) {
  std::cerr << "\rencoding items: " << static_cast<int>(100 * fraction) << " %" << std::flush;
}

absl::Status Write(const std::filesystem::path& out, const at::Tensor& embeddings, const std::vector<std::string>& ids) {
  std::error_code error;
  std::filesystem::create_directories(out, error);
  if (error) return storage::ErrnoStatus(error.value(), "can't create", out);
  if (auto status = WriteEmbeddings(out, embeddings, ids); !status.ok()) return status;
  std::cout << "wrote " << embeddings.size(0) << " x " << embeddings.size(1) << " embeddings to "
            << (out / "item_embeddings.npy").string() << "\n";
  return absl::OkStatus();
}

at::Tensor EncodeTokens(const model::Hllm& hllm, const std::vector<std::vector<uint32_t>>& items) {
  const at::NoGradGuard no_graph;
  model::Segments lengths;
  for (const auto& tokens : items) lengths.Append(static_cast<int64_t>(tokens.size()) + 1);
  const std::vector<int64_t> parts = model::PartsOf(lengths);
  std::vector<at::Tensor> encoded;
  // Calls end where parts end, as in eval::EncodeAllItems: the same bits.
  size_t item = 0;
  for (size_t part = 0; part < parts.size();) {
    model::PackedItems packed;
    for (const size_t end = std::min(parts.size(), part + model::kPartsPerCall); part < end; ++part) {
      for (const size_t last = item + static_cast<size_t>(parts[part]); item < last; ++item) packed.Append(items[item]);
    }
    encoded.push_back(hllm.EncodeItems(packed).to(at::kFloat));
    ShowProgress(static_cast<double>(item) / static_cast<double>(items.size()));
  }
  return at::cat(encoded, 0).contiguous();
}

absl::Status EncodeDataset(const EncodeOptions& options) {
  auto trained = OpenTrainedModel(options.model);
  if (!trained.ok()) return trained.status();
  if (absl::Status status = OpenDatasetOf(options.dataset, *trained); !status.ok()) return status;
  const data::Dataset& d = *trained->dataset;
  const at::Tensor items = eval::EncodeAllItems(d, *trained->hllm, dist::ProcessGroup::Alone(), ShowProgress);
  std::cerr << "\n";
  return Write(options.out, items.narrow(0, 1, d.num_items()), ItemIds(d));
}

absl::Status EncodeCsv(const EncodeOptions& options) {
  const auto trained = OpenTrainedModel(options.model, options.max_text_length);
  if (!trained.ok()) return trained.status();
  const auto tokenizer = tokenizer::LoadTokenizer(trained->tokenizer_dir);
  if (!tokenizer.ok()) return tokenizer.status();
  const CsvItemsOptions csv{.text_data = options.text_data,
                            .text_keys = options.text_keys.empty() ? trained->info.text_keys : options.text_keys,
                            .item_prompt = options.item_prompt.value_or(trained->info.item_prompt),
                            .max_text_length = static_cast<int>(trained->hllm->options().max_text_length),
                            .threads = at::get_num_threads()};
  const auto items = ReadCsvItems(csv, **tokenizer);
  if (!items.ok()) return items.status();
  const at::Tensor embeddings = EncodeTokens(*trained->hllm, items->tokens);
  std::cerr << "\n";
  if (items->truncated > 0) {
    std::cerr << items->truncated << " texts were cut to " << csv.max_text_length << " tokens\n";
  }
  return Write(options.out, embeddings, items->ids);
}

}  // namespace

std::unique_ptr<EncodeOptions> AddEncode(CLI::App& app) {
  auto options = std::make_unique<EncodeOptions>();
  CLI::App* command = app.add_subcommand(
      "encode", "Embeddings of the items of a CSV or a prepared dataset, as item_embeddings.npy and item_ids.txt");
  command->add_option("--model", options->model, "best_model/, checkpoint or output_dir of a job")->required();
  auto* const text_data = command->add_option("--text-data", options->text_data, "CSV with item_id and the text columns");
  auto* const dataset = command->add_option("--dataset", options->dataset, "Prepared dataset folder the model was trained on");
  text_data->excludes(dataset);
  for (CLI::Option* option :
       {command->add_option("--text-keys", options->text_keys, "Text columns, in order; default: the model's")->delimiter(','),
        command->add_option("--item-prompt", options->item_prompt, "Text before each item; default: the model's"),
        command->add_option("--max-text-length", options->max_text_length, "Tokens per item; default: the model's")
            ->check(CLI::PositiveNumber)}) {
    option->needs(text_data);
  }
  command->add_option("--out", options->out, "Folder to write to")->required();
  command->add_option("--threads", options->threads, "Compute threads; 0: all")->check(CLI::NonNegativeNumber);
  options->command = command;
  return options;
}

int RunEncode(const EncodeOptions& options) {
  if (options.text_data.empty() == options.dataset.empty()) {
    std::cerr << "error: say what to encode: --text-data CSV or --dataset DIR\n";
    return 2;
  }
  if (options.threads > 0) at::set_num_threads(options.threads);
  const absl::Status status =
      train::Fenced([&] { return options.dataset.empty() ? EncodeCsv(options) : EncodeDataset(options); });
  if (status.ok()) return 0;
  std::cerr << "error: " << status.message() << "\n";
  return absl::IsNotFound(status) ? 3 : 1;
}

}  // namespace pixelrec::tools
