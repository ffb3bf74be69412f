// Rotary positions out of config.json, in both spellings (rule F4), plain or stretched.
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

// Fills config.ropes: one, or the one of full layers and the one of sliding layers. Reads config.max_position_embeddings and
// head_dim. Errors as ParseDecoderConfig; the first problem of a plain value is left in `fields`.
absl::Status ReadRopes(const nlohmann::json& json, absl::string_view file_name, const ModelFamily& family, JsonFields& fields,
                       DecoderConfig& config);

}  // namespace pixelrec::checkpoint
