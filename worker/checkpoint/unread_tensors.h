// Tensors that the model never reads (rule M6: the user LLM's token embeddings, output heads) under the reference's AdamW: it
// gives them no gradient and still decays them, so that after steps of learning rates lr_t they are what they were times the
// product of 1 - lr_t * weight_decay. They aren't kept during training; this fills them for whoever reads a model later.
//
// Threads: pure functions.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/checkpoint/safetensors.h"

namespace pixelrec::checkpoint {

// Canonical name ("user_llm.lm_head.weight") -> factor; a name that isn't there keeps its value.
using UnreadDecay = std::map<std::string, double>;

// A tensor of F32, BF16 or F16 times `factor`, as F32, rounded to bf16 first where the masters were (rule P2). Its bytes lie in
// `storage`. INVALID_ARGUMENT: another type.
absl::StatusOr<TensorInfo> Decayed(const TensorInfo& tensor, double factor, bool rounded, std::unique_ptr<float[]>& storage);

// Of `document`["unread_decay"]; absent: none. INVALID_ARGUMENT: "FILE: unread_decay: what is wrong"; factors are finite.
absl::StatusOr<UnreadDecay> UnreadDecayFromJson(const nlohmann::json& document, absl::string_view file_name);

}  // namespace pixelrec::checkpoint
