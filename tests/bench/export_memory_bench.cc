// How much memory an export of a sharded checkpoint takes: a checkpoint of 110 M parameters is generated, cut over four ranks,
// and exported in each format. Not a Google Benchmark: one run is the measurement.
//
// cmake --build build --target export_memory_bench && build/tests/export_memory_bench [FOLDER]
//
// 1.5 GB below FOLDER (the temporary folder) are used, and removed.
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "worker/checkpoint/checkpoint_files.h"
#include "worker/checkpoint/decoder_tensors.h"
#include "worker/checkpoint/dtype.h"
#include "worker/checkpoint/hllm_export.h"
#include "worker/checkpoint/hllm_weights.h"

namespace {

using namespace pixelrec::checkpoint;
namespace fs = std::filesystem;

constexpr char kConfig[] =
    R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 768, "intermediate_size": 2048,
"num_hidden_layers": 6, "num_attention_heads": 12, "num_key_value_heads": 12, "vocab_size": 32000, "torch_dtype": "float32"})";
constexpr int kRanks = 4;

double Megabytes(size_t bytes) { return static_cast<double>(bytes) / 1e6; }

// The kilobytes that /proc/PID/status has behind `key`; 0 if the process is gone.
size_t StatusKilobytes(pid_t pid, const std::string& key) {
  std::ifstream status(absl::StrCat("/proc/", pid, "/status"));
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(key, 0) == 0) return static_cast<size_t>(std::atoll(line.c_str() + key.size()));
  }
  return 0;
}

// The trained tensors of both sides under their names in a checkpoint (rule M6: no embeddings of the user LLM).
std::vector<TensorSpec> TrainedTensors() {
  const DecoderConfig config = *ParseDecoderConfig(kConfig, "config.json");
  std::vector<TensorSpec> tensors;
  for (const std::string side : {"item_llm.", "user_llm."}) {
    for (const TensorSpec& spec : DecoderTensors(config)) {
      if (side == "user_llm." && spec.name == "embed_tokens.weight") continue;
      tensors.push_back({side + spec.name, "F32", spec.shape});
    }
  }
  tensors.push_back({"item_emb_tokens", "F32", {1, 1, 768}});
  tensors.push_back({"logit_scale", "F32", {}});
  return tensors;
}

absl::Status WriteModel(const fs::path& dir) {
  fs::create_directories(dir);
  std::ofstream(dir / "config.json") << kConfig;
  std::ofstream(dir / "tokenizer.model") << "none";
  std::vector<TensorSpec> tensors = DecoderTensors(*ParseDecoderConfig(kConfig, "config.json"));
  for (TensorSpec& tensor : tensors) {
    tensor.name = "model." + tensor.name;
    tensor.dtype = "F32";
  }
  auto writer = SafetensorsWriter::Create(dir / "model.safetensors", tensors, {{"format", "pt"}});
  if (!writer.ok()) return writer.status();
  for (const TensorSpec& tensor : tensors) {
    const std::vector<std::byte> bytes(*TensorBytes(tensor.shape, 4), std::byte{1});
    if (auto status = (*writer)->Append(tensor.name, bytes); !status.ok()) return status;
  }
  return (*writer)->Finish().status();
}

// Every tensor cut over all ranks, as at ZeRO 3; moments of the scale alone: exports don't read them.
absl::Status WriteShards(const fs::path& dir, size_t& parameters, size_t& largest) {
  Manifest manifest;
  manifest.world_size = kRanks;
  manifest.global_batch_size = 8;
  for (int rank = 0; rank < kRanks; ++rank) {
    std::vector<std::vector<std::byte>> content;
    std::vector<TensorPiece> pieces;
    for (const TensorSpec& tensor : TrainedTensors()) {
      const auto elements = static_cast<int64_t>(*TensorBytes(tensor.shape, 1));
      const int64_t begin = elements * rank / kRanks, end = elements * (rank + 1) / kRanks;
      if (rank == 0) parameters += static_cast<size_t>(elements);
      largest = std::max(largest, static_cast<size_t>(elements) * 4);
      if (begin == end) continue;
      const auto& bytes = content.emplace_back(static_cast<size_t>(end - begin) * 4, static_cast<std::byte>(rank + 1));
      pieces.push_back({{tensor.name, "F32", {end - begin}, bytes.data(), bytes.size()}, begin, tensor.shape});
    }
    std::vector<TensorPiece> moments;
    if (rank == 0) moments.push_back({{"exp_avg.logit_scale", "F32", {}, content[0].data(), 4}, 0, {}});
    auto files = WriteShard(dir, {rank, kRanks}, pieces, moments);
    if (!files.ok()) return files.status();
    manifest.files.insert(files->begin(), files->end());
  }
  return FinishCheckpoint(dir, std::move(manifest)).status();
}

// What `pixelrec-trainer export` does with weights.
absl::Status ExportHere(const fs::path& folder, const std::string& name) {
  const ExportFormat format = name == "hf"              ? ExportFormat::kHuggingFace
                              : name == "reference-bin" ? ExportFormat::kReferenceBin
                                                        : ExportFormat::kReferenceSafetensors;
  auto weights = OpenHllmWeights(folder / "checkpoint-epoch-1");
  if (!weights.ok()) return weights.status();
  auto staging = StageExport(folder / "exported", /*force=*/false);
  if (!staging.ok()) return staging.status();
  ExportOptions options{.format = format, .item_model_dir = folder / "model", .user_model_dir = folder / "model", .info = {}};
  return FinishExport(*staging, folder / "exported", WriteExport(*staging, *weights, options).status());
}

// In a process of its own, which begins with no memory and is watched.
int Export(const fs::path& folder, const std::string& name) {
  const auto start = std::chrono::steady_clock::now();
  const pid_t child = fork();
  if (child == 0) {
    execl("/proc/self/exe", "export_memory_bench", folder.c_str(), name.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  size_t anonymous = 0, resident = 0;
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    anonymous = std::max(anonymous, StatusKilobytes(child, "RssAnon:"));
    resident = std::max(resident, StatusKilobytes(child, "VmHWM:"));
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  std::cout << name << ": peak of its own memory " << Megabytes(anonymous * 1024) << " MB, with the pages of mapped files "
            << Megabytes(resident * 1024) << " MB, "
            << std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() << " s\n";
  fs::remove_all(folder / "exported");
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3) {
    const absl::Status status = ExportHere(argv[1], argv[2]);
    if (!status.ok()) std::cerr << "error: " << status.message() << "\n";
    return status.ok() ? 0 : 1;
  }
  std::string pattern = (argc > 1 ? fs::path(argv[1]) : fs::temp_directory_path()) / "pixelrec-export-XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) {
    std::cerr << "error: cannot create " << pattern << "\n";
    return 1;
  }
  const fs::path folder = pattern;
  size_t parameters = 0, largest = 0;
  absl::Status written = WriteModel(folder / "model");
  if (written.ok()) written = WriteShards(folder / "checkpoint-epoch-1", parameters, largest);
  int failed = 0;
  if (!written.ok()) {
    std::cerr << "error: " << written.message() << "\n";
    failed = 1;
  } else {
    std::cout << "checkpoint of " << static_cast<double>(parameters) / 1e6 << " M parameters, " << Megabytes(4 * parameters)
              << " MB in " << kRanks << " shards; largest tensor " << Megabytes(largest) << " MB\n";
    for (const char* name : {"hf", "reference-safetensors", "reference-bin"}) failed += Export(folder, name);
  }
  fs::remove_all(folder);
  return failed;
}
