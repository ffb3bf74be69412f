// best_model/: item_llm/ and user_llm/ as Hugging Face directories, head.safetensors (item_emb_tokens [1, n, H], logit_scale []),
// hllm.json (how texts were made, what it was trained on, how good it was, every file's digest). Format: docs/formats.md.
//
// Threads: call from one thread; what is opened is immutable.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/checkpoint/hf_export.h"
#include "worker/checkpoint/unread_tensors.h"

namespace pixelrec::checkpoint {

inline constexpr char kItemModelFolder[] = "item_llm";
inline constexpr char kUserModelFolder[] = "user_llm";
inline constexpr char kHeadFile[] = "head.safetensors";
inline constexpr char kHllmFile[] = "hllm.json";

// What the weights alone don't say.
struct HllmInfo {
  int64_t item_emb_token_n = 1;
  int64_t max_seq_length = 0;   // M
  int64_t max_text_length = 0;  // tokens
  std::string item_prompt;
  std::vector<std::string> text_keys;
  double nce_thres = 0.99;
  std::string data_hash;
  int64_t epoch = 0;  // epochs and optimiser steps done
  int64_t step = 0;
  std::optional<double> validation_loss;
  UnreadDecay unread_decay;  // already applied to the tensors here
  std::string job_name;
  std::string program_version;
  friend bool operator==(const HllmInfo&, const HllmInfo&) = default;
};

// The parsed hllm.json. Errors as ParseManifest.
struct HllmFile {
  HllmInfo info;
  std::map<std::string, FileDigest> files;  // "head.safetensors", "item_llm/config.json", ...
};
absl::StatusOr<HllmFile> ParseHllmFile(absl::string_view json, absl::string_view file_name);

// <dir>/hllm.json over the files of the two models and the head, which lie there with these digests.
absl::Status WriteHllmFile(const std::filesystem::path& dir, const HllmInfo& info,
                           const std::map<std::string, FileDigest>& files);

struct BestModelTensors {
  HfExport item;
  HfExport user;
  TensorInfo item_emb_tokens;  // F32 [1, n, H]
  TensorInfo logit_scale;      // F32 []
};

struct WrittenBestModel {
  uint64_t bytes = 0;       // of all files
  std::string info_digest;  // xxh3 of hllm.json (Artifact.manifest_digest)
};

// Writes the whole folder `dir`; an earlier try's leavings there are replaced. Everything is synced, hllm.json last.
absl::StatusOr<WrittenBestModel> WriteBestModel(const std::filesystem::path& dir, const HllmInfo& info,
                                                const BestModelTensors& tensors,
                                                storage::FileSystem& files = storage::RealFileSystem());

struct BestModel {
  HllmInfo info;
  DecoderConfig item_config, user_config;
  ModelWeights item, user;
  std::unique_ptr<SafetensorsFile> head;
  TensorInfo item_emb_tokens, logit_scale;  // lie in `head`
};

// Verifies every byte, then opens. NOT_FOUND: no hllm.json. DATA_LOSS: a file was damaged or changed after it was written.
absl::StatusOr<BestModel> OpenBestModel(const std::filesystem::path& dir);

}  // namespace pixelrec::checkpoint
