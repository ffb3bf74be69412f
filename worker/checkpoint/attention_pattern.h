// Which layers see how far: sliding windows out of config.json.
//
// Private to this folder. Threads: pure functions.
#pragma once

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "worker/checkpoint/decoder_config.h"
#include "worker/checkpoint/json_file.h"
#include "worker/checkpoint/model_family.h"

namespace pixelrec::checkpoint {

// Fills config.layers (left empty where every layer sees everything). Errors as ParseDecoderConfig; the first problem of a plain
// value is left in `fields`.
absl::Status ReadAttentionPattern(const nlohmann::json& json, absl::string_view file_name, const ModelFamily& family,
                                  JsonFields& fields, DecoderConfig& config);

}  // namespace pixelrec::checkpoint
