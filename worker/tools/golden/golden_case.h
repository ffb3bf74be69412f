// A folder of reference numbers: case.json and tensors.safetensors (docs/fidelity.md).
//
// Threads: immutable once opened.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/checkpoint/safetensors.h"

namespace pixelrec::tools {

struct GoldenCase {
  struct Item {
    std::string id;
    std::vector<uint32_t> token_ids;  // after truncation, without the embedding token
  };
  struct Row {
    std::vector<std::string> positives;  // without padding
    std::vector<std::string> negatives;
  };
  struct Chunk {
    std::string user;
    std::vector<std::string> items;
  };
  struct Loss {
    double value = 0;
    int64_t rows = 0;
    int64_t filtered_logits = 0;
    double logit_scale_grad = 0;
    double grad_norm = 0;
    std::map<std::string, double> grad_norms;
  };
  struct Step {
    int64_t step = 0;
    double loss = 0;                      // before the update
    std::optional<double> lr, grad_norm;  // of the update; the last step has none
  };
  struct Training {
    int64_t total_steps = 0;
    std::vector<Step> curve;
    double logit_scale_after = 0;
  };
  struct User {
    std::string id;
    std::optional<int64_t> rank;  // nothing: the target is in the history (W9)
    int64_t near = 0;             // scores within 1e-6 of the target's
  };
  struct Evaluation {
    std::vector<User> users;
    std::map<std::string, double> metrics;  // "recall@10"
  };

  std::filesystem::path item_model_dir, user_model_dir, interaction_data, text_data;
  std::vector<std::string> text_keys;
  std::string item_prompt;
  int max_text_length = 0;
  int max_seq_length = 0;
  int64_t item_emb_token_n = 1;  // 0: the mean over an item's tokens (X5)
  bool compat = false;           // numerics: every rule of the reference in force
  std::vector<Item> items;
  std::vector<Row> batch;
  std::optional<std::vector<Chunk>> chunks;  // every training sample, in the dataset's order (D5-D7)
  Loss loss;
  std::optional<Training> training;
  std::optional<Evaluation> evaluation;
  std::unique_ptr<checkpoint::SafetensorsFile> tensors;
};

// NOT_FOUND: no case.json or tensors.safetensors. INVALID_ARGUMENT: "FILE: FIELD: what is wrong".
absl::StatusOr<GoldenCase> OpenGoldenCase(const std::filesystem::path& dir);

}  // namespace pixelrec::tools
