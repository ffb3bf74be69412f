// Writes a whole HLLM for other programs: two Hugging Face directories and the head's tensors, or one file under the reference's
// names. Format: docs/formats.md.
//
// What the trainer doesn't keep (rule M6: the user LLM's token embeddings, both output heads) comes from the model directories
// that training started from, where they are known.
// Threads: call from one thread.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/checkpoint/best_model.h"
#include "worker/checkpoint/hllm_weights.h"

namespace pixelrec::checkpoint {

inline constexpr char kExportFile[] = "export.json";  // marks a folder as an export, and lists its files

enum class ExportFormat { kHuggingFace, kReferenceSafetensors, kReferenceBin };

struct ExportOptions {
  ExportFormat format = ExportFormat::kHuggingFace;
  // config.json, tokenizer and untrained tensors of each side; empty: unknown. Hugging Face directories can't be made without.
  std::filesystem::path item_model_dir, user_model_dir;
  // How texts were made and what was trained on, where the source says: a Hugging Face export then holds hllm.json, too, and is
  // read wherever a best_model/ is.
  std::optional<HllmInfo> info;
};

// Fills what isn't given: from a best_model/ or an export its own two models, from a checkpoint those of its job's best_model/. A
// damaged hllm.json gives no info; whoever reads the source says so.
ExportOptions WithKnownModels(ExportOptions options, const std::filesystem::path& source);

// Fills `dir`, which must be empty. -> sentences for the user: what couldn't be filled. INVALID_ARGUMENT: tensors that the
// configuration doesn't know, or of another shape; FAILED_PRECONDITION: model directories are needed. Everything is synced,
// export.json last.
absl::StatusOr<std::vector<std::string>> WriteExport(const std::filesystem::path& dir, const HllmWeights& weights,
                                                     const ExportOptions& options);

// A new, empty folder beside `out`, to be renamed into its place. ALREADY_EXISTS: `out` is there and `force` isn't given, or it
// is not a folder that export.json marks as an export (or an empty one): nothing else is ever replaced.
absl::StatusOr<std::filesystem::path> StageExport(const std::filesystem::path& out, bool force);
// Renames it to `out` if `written` is OK; removes it otherwise, and returns what went wrong.
absl::Status FinishExport(const std::filesystem::path& staging, const std::filesystem::path& out, const absl::Status& written);

// export.json over the files that lie in `dir` and its folders.
absl::Status WriteExportFile(const std::filesystem::path& dir, const std::string& format, const HllmWeights& weights);

}  // namespace pixelrec::checkpoint
