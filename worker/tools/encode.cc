#include "worker/tools/encode.h"

#include <ATen/Parallel.h>

#include <filesystem>
#include <iostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/storage/atomic_file.h"
#include "worker/dist/process_group.h"
#include "worker/eval/item_matrix.h"
#include "worker/tools/trained_model.h"
#include "worker/train/failure.h"

namespace pixelrec::tools {
namespace {

// NumPy's format 1.0: magic, version, header length, header padded so that the data starts at a multiple of 64.
std::string NpyHeader(int64_t rows, int64_t columns) {
  std::string dictionary = absl::StrCat("{'descr': '<f4', 'fortran_order': False, 'shape': (", rows, ", ", columns, "), }");
  constexpr size_t kPrefix = 10, kAlignment = 64;
  const size_t padded = (kPrefix + dictionary.size() + 1 + kAlignment - 1) / kAlignment * kAlignment - kPrefix;
  dictionary.resize(padded - 1, ' ');
  dictionary.push_back('\n');
  std::string header("\x93NUMPY\x01\x00", 8);
  header.push_back(static_cast<char>(padded & 0xff));
  header.push_back(static_cast<char>(padded >> 8));
  return header + dictionary;
}

absl::Status Encode(const EncodeOptions& options) {
  auto trained = OpenTrainedModel(options.model, options.dataset);
  if (!trained.ok()) return trained.status();
  const data::Dataset& d = *trained->dataset;
  const at::Tensor items =
      eval::EncodeAllItems(
          d, *trained->hllm, dist::ProcessGroup::Alone(),
          [](double fraction) { std::cerr << "\rencoding items: " << static_cast<int>(100 * fraction) << " %" << std::flush; })
          .narrow(0, 1, d.num_items())
          .contiguous();
  std::cerr << "\n";
  std::error_code error;
  std::filesystem::create_directories(options.out, error);
  if (error) return storage::ErrnoStatus(error.value(), "can't create", options.out);
  std::string matrix = NpyHeader(items.size(0), items.size(1));
  matrix.append(static_cast<const char*>(items.const_data_ptr()), items.nbytes());
  std::string ids;
  for (uint32_t i = 1; i <= d.num_items(); ++i) ids.append(std::string(d.item_name(i))).push_back('\n');
  const std::filesystem::path out = options.out;
  if (auto status = storage::WriteFileAtomically(out / "item_embeddings.npy", matrix); !status.ok()) return status;
  if (auto status = storage::WriteFileAtomically(out / "item_ids.txt", ids); !status.ok()) return status;
  std::cout << "wrote " << items.size(0) << " x " << items.size(1) << " embeddings to " << (out / "item_embeddings.npy").string()
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
