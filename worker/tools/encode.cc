#include "worker/tools/encode.h"

#include <ATen/Parallel.h>

#include <filesystem>
#include <iostream>
#include <string>

#include "common/storage/atomic_file.h"
#include "worker/dist/process_group.h"
#include "worker/eval/item_matrix.h"
#include "worker/tools/embedding_files.h"
#include "worker/tools/trained_model.h"
#include "worker/train/failure.h"

namespace pixelrec::tools {
namespace {

absl::Status Encode(const EncodeOptions& options) {
  auto trained = OpenTrainedModel(options.model, options.dataset);
  if (!trained.ok()) return trained.status();
  const data::Dataset& d = *trained->dataset;
  const at::Tensor items = eval::EncodeAllItems(d, *trained->hllm, dist::ProcessGroup::Alone(), [](double fraction) {
    std::cerr << "\rencoding items: " << static_cast<int>(100 * fraction) << " %" << std::flush;
  });
  std::cerr << "\n";
  std::error_code error;
  std::filesystem::create_directories(options.out, error);
  if (error) return storage::ErrnoStatus(error.value(), "can't create", options.out);
  const std::filesystem::path out = options.out;
  if (auto status = WriteItemEmbeddings(out, items, d); !status.ok()) return status;
  std::cout << "wrote " << d.num_items() << " x " << items.size(1) << " embeddings to " << (out / "item_embeddings.npy").string()
            << "\n";
  return absl::OkStatus();
}

}  // namespace

std::unique_ptr<EncodeOptions> AddEncode(CLI::App& app) {
  auto options = std::make_unique<EncodeOptions>();
  CLI::App* command =
      app.add_subcommand("encode", "Embeddings of all items of a prepared dataset, as item_embeddings.npy and item_ids.txt");
  command->add_option("--model", options->model, "best_model folder")->required();
  command->add_option("--dataset", options->dataset, "Prepared dataset folder it was trained on")->required();
  command->add_option("--out", options->out, "Folder to write to")->required();
  command->add_option("--threads", options->threads, "Compute threads; 0: all")->check(CLI::NonNegativeNumber);
  options->command = command;
  return options;
}

int RunEncode(const EncodeOptions& options) {
  if (options.threads > 0) at::set_num_threads(options.threads);
  const absl::Status status = train::Fenced([&] { return Encode(options); });
  if (status.ok()) return 0;
  std::cerr << "error: " << status.message() << "\n";
  return absl::IsNotFound(status) ? 3 : 1;
}

}  // namespace pixelrec::tools
