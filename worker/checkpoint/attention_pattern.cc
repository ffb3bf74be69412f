#include "worker/checkpoint/attention_pattern.h"

#include <algorithm>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "worker/checkpoint/config_refusal.h"

namespace pixelrec::checkpoint {
namespace {

using nlohmann::json;

constexpr int64_t kMaxWindow = int64_t{1} << 40;
constexpr int64_t kDefaultWindow = 4096;  // of every family that has windows
constexpr int64_t kDefaultUpperLayers = 28;

const json* Find(const json& config, const char* name) {
  const auto found = config.find(name);
  return found == config.end() || found->is_null() ? nullptr : &*found;
}

// layer_types -> is each layer a sliding one; empty where the field is absent.
absl::StatusOr<std::vector<bool>> SlidingByLayerTypes(const json& config_json, absl::string_view file_name, int64_t layers) {
  std::vector<bool> sliding;
  const json* types = Find(config_json, "layer_types");
  if (types == nullptr) return sliding;
  if (!types->is_array() || static_cast<int64_t>(types->size()) != layers) {
    return absl::InvalidArgumentError(
        absl::StrCat(file_name, ": layer_types: must be an array of num_hidden_layers ", layers, " names"));
  }
  for (const json& type : *types) {
    if (type != "full_attention" && type != "sliding_attention")
      return Unsupported(file_name, "layer_types", type, "full_attention, sliding_attention");
    sliding.push_back(type == "sliding_attention");
  }
  return sliding;
}

// What the family does where layer_types is absent.
std::vector<bool> SlidingByRule(const ModelFamily& family, JsonFields& fields, int64_t layers) {
  std::vector<bool> sliding(static_cast<size_t>(layers), family.windows == WindowRule::kEveryLayer);
  if (family.windows == WindowRule::kUpperLayers) {
    const int64_t first = fields.Int("max_window_layers", 0, kMaxWindow, kDefaultUpperLayers);
    for (int64_t i = first; i < layers; ++i) sliding[static_cast<size_t>(i)] = true;
  }
  if (family.windows == WindowRule::kAlternating) {
    // Only gemma3 has the field; gemma2 alternates.
    const int64_t pattern =
        family.local_rope ? fields.Int("sliding_window_pattern", 1, kMaxWindow, family.window_pattern) : family.window_pattern;
    for (int64_t i = 0; i < layers; ++i) sliding[static_cast<size_t>(i)] = (i + 1) % pattern != 0;
  }
  return sliding;
}

// The window in force; 0: no layer slides.
int64_t WindowOf(const json& config_json, const ModelFamily& family, JsonFields& fields) {
  if (family.windows == WindowRule::kNone) return 0;
  if (family.windows == WindowRule::kUpperLayers && !fields.Bool("use_sliding_window", false)) return 0;
  // Null is no window; absent is the default.
  if (config_json.contains("sliding_window") && config_json["sliding_window"].is_null()) return 0;
  return fields.Int("sliding_window", 1, kMaxWindow, kDefaultWindow);
}

}  // namespace

absl::Status ReadAttentionPattern(const json& config_json, absl::string_view file_name, const ModelFamily& family,
                                  JsonFields& fields, DecoderConfig& config) {
  const json* window_field = Find(config_json, "sliding_window");
  if (family.windows == WindowRule::kNone && window_field != nullptr)
    return Unsupported(file_name, "sliding_window", *window_field, absl::StrCat("none (null) for ", family.model_type));
  if (family.windows == WindowRule::kNone && Find(config_json, "use_sliding_window") != nullptr &&
      config_json["use_sliding_window"] != false) {
    return Unsupported(file_name, "use_sliding_window", config_json["use_sliding_window"], "false");
  }
  const int64_t layers = config.num_hidden_layers, window = WindowOf(config_json, family, fields);
  auto sliding = SlidingByLayerTypes(config_json, file_name, layers);
  if (!sliding.ok()) return sliding.status();
  if (family.windows == WindowRule::kAlternating && window == 0)
    return Unsupported(file_name, "sliding_window", nullptr, absl::StrCat("a number for ", family.model_type));
  const bool any_named = std::find(sliding->begin(), sliding->end(), true) != sliding->end();
  if (any_named && window == 0)
    return Unsupported(file_name, "layer_types", "sliding_attention", "full_attention, as no sliding window is in force");
  if (family.windows == WindowRule::kEveryLayer && window > 0 && !sliding->empty() &&
      std::find(sliding->begin(), sliding->end(), false) != sliding->end()) {
    return Unsupported(file_name, "layer_types", "full_attention",
                       absl::StrCat("sliding_attention in every layer of a ", family.model_type, " with a sliding_window"));
  }
  if (sliding->empty()) sliding = SlidingByRule(family, fields, layers);
  if (!fields.status().ok() || (window == 0 && !family.local_rope)) return fields.status();
  for (const bool slides : *sliding) {
    config.layers.push_back({.window = slides ? window : 0, .rope = slides && family.local_rope ? 1 : 0});
  }
  return absl::OkStatus();
}

}  // namespace pixelrec::checkpoint
