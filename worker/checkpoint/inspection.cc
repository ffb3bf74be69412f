#include "worker/checkpoint/inspection.h"

#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/storage/atomic_file.h"
#include "worker/checkpoint/best_model.h"
#include "worker/checkpoint/checkpoint_files.h"
#include "worker/checkpoint/dtype.h"
#include "worker/checkpoint/hllm_weights.h"
#include "worker/checkpoint/model_weights.h"
#include "worker/checkpoint/tensor_file.h"

namespace pixelrec::checkpoint {
namespace {

constexpr const char* kTokenizerFiles[] = {"tokenizer.json",        "tokenizer.model",         "vocab.txt",
                                           "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"};

// "item_llm.layers.0.mlp..." -> "item_llm.layers"; "layers.0..." -> "layers".
std::string PartOf(absl::string_view name) {
  std::string part;
  for (const absl::string_view side : {"item_llm.", "user_llm."}) {
    if (absl::ConsumePrefix(&name, side)) part = std::string(side);
  }
  absl::ConsumePrefix(&name, "model.");
  return absl::StrCat(part, name.substr(0, name.find('.')));
}

void Count(const std::map<std::string, TensorInfo>& tensors, Inspection& result) {
  for (const auto& [name, tensor] : tensors) {
    InspectedPart& part = result.parts[PartOf(name)];
    ++part.tensors;
    part.parameters += static_cast<int64_t>(tensor.bytes / ElementBytes(tensor.dtype).value_or(1));
    part.bytes += tensor.bytes;
    part.dtypes.insert(tensor.dtype);
  }
}

std::string Architecture(const DecoderConfig& config) {
  return absl::StrCat(config.model_type, ", ", config.num_hidden_layers, " layers, hidden ", config.hidden_size, ", ",
                      config.num_attention_heads, " heads (", config.num_key_value_heads, " for keys and values) of ",
                      config.head_dim, ", intermediate ", config.intermediate_size, ", vocabulary ", config.vocab_size);
}

void FindTokenizer(const std::filesystem::path& dir, Inspection& result) {
  std::error_code ignored;
  for (const char* name : kTokenizerFiles) {
    if (std::filesystem::is_regular_file(dir / name, ignored)) result.tokenizer_files.emplace_back(name);
  }
}

absl::Status AddBestModelFacts(const std::filesystem::path& dir, Inspection& result) {
  auto text = storage::ReadFile(dir / kHllmFile);
  if (!text.ok()) return text.status();
  auto file = ParseHllmFile(*text, (dir / kHllmFile).string());
  if (!file.ok()) return file.status();
  const HllmInfo& info = file->info;
  result.verified_files = static_cast<int64_t>(file->files.size());
  result.facts.emplace_back("job", info.job_name);
  if (info.validation_loss) result.facts.emplace_back("validation loss", absl::StrCat(*info.validation_loss));
  result.facts.emplace_back("item prompt", info.item_prompt);
  result.facts.emplace_back("text keys", absl::StrJoin(info.text_keys, ","));
  result.facts.emplace_back("max_text_length", absl::StrCat(info.max_text_length));
  result.facts.emplace_back("max_seq_length", absl::StrCat(info.max_seq_length));
  result.facts.emplace_back("data hash", info.data_hash);
  for (const auto& [side, folder] : {std::pair("item LLM", kItemModelFolder), std::pair("user LLM", kUserModelFolder)}) {
    auto config = ReadDecoderConfig(dir / folder);
    if (!config.ok()) return config.status();
    result.facts.emplace_back(side, Architecture(*config));
  }
  FindTokenizer(dir / kItemModelFolder, result);
  return absl::OkStatus();
}

absl::Status AddCheckpointFacts(const std::filesystem::path& dir, Inspection& result) {
  auto manifest = ReadManifest(dir);
  if (!manifest.ok()) return manifest.status();
  result.verified_files = static_cast<int64_t>(manifest->files.size());
  result.facts.emplace_back("job", absl::StrCat(manifest->job_name, " (", manifest->job_id, ")"));
  result.facts.emplace_back("steps in all", absl::StrCat(manifest->total_steps));
  result.facts.emplace_back("global batch", absl::StrCat(manifest->global_batch_size));
  result.facts.emplace_back("seed", absl::StrCat(manifest->seed));
  if (manifest->best_validation_loss)
    result.facts.emplace_back("best validation loss", absl::StrCat(*manifest->best_validation_loss));
  result.facts.emplace_back("data hash", manifest->data_hash);
  return absl::OkStatus();
}

absl::StatusOr<Inspection> OfHllm(const HllmWeights& weights) {
  Inspection result;
  result.kind = weights.description;
  if (weights.epoch > 0) result.facts.emplace_back("epoch", absl::StrCat(weights.epoch));
  if (weights.step > 0) result.facts.emplace_back("step", absl::StrCat(weights.step));
  absl::Status status;
  if (weights.source == HllmSource::kBestModel) status = AddBestModelFacts(weights.path, result);
  if (weights.source == HllmSource::kCheckpoint) status = AddCheckpointFacts(weights.path, result);
  if (!status.ok()) return status;
  Count(weights.tensors, result);
  result.ignored = weights.ignored;
  return result;
}

absl::StatusOr<Inspection> OfModelDirectory(const std::filesystem::path& dir) {
  auto config = ReadDecoderConfig(dir);
  if (!config.ok()) return config.status();
  auto weights = OpenModelWeights(dir, *config);
  if (!weights.ok()) return weights.status();
  Inspection result;
  result.kind = absl::StrCat("model directory (", config->model_type, ", ", weights->files.front()->format(), ")");
  result.facts.emplace_back("architecture", Architecture(*config));
  std::vector<std::string> files;
  for (const auto& file : weights->files) files.push_back(file->path().filename().string());
  result.facts.emplace_back("weight files", absl::StrJoin(files, ", "));
  Count(weights->tensors, result);
  if (weights->lm_head) Count({{"lm_head.weight", *weights->lm_head}}, result);
  for (const std::string& name : weights->ignored) result.ignored.emplace(name, "belongs to no part of the model");
  FindTokenizer(dir, result);
  return result;
}

absl::StatusOr<Inspection> OfTensorFile(const std::filesystem::path& path) {
  auto file = TensorFile::Open(path);
  if (!file.ok()) return file.status();
  Inspection result;
  result.kind = absl::StrCat("file of tensors (", (*file)->format(), ")");
  Count((*file)->tensors(), result);
  result.ignored = (*file)->skipped();
  return result;
}

}  // namespace

absl::StatusOr<Inspection> Inspect(const std::filesystem::path& path) {
  std::error_code ignored;
  const bool folder = std::filesystem::is_directory(path, ignored);
  auto weights = OpenHllmWeights(path);
  if (weights.ok()) return OfHllm(*weights);
  if (folder && std::filesystem::exists(path / "config.json", ignored)) return OfModelDirectory(path);
  if (!folder && absl::IsInvalidArgument(weights.status())) return OfTensorFile(path);
  return weights.status();
}

}  // namespace pixelrec::checkpoint
