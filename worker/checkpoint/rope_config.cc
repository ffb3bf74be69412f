#include "worker/checkpoint/rope_config.h"

#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/checkpoint/config_refusal.h"

namespace pixelrec::checkpoint {
namespace {

using model::Rope;
using model::RopeScaling;
using nlohmann::json;

constexpr double kMinTheta = 1e-3, kMaxTheta = 1e12;
constexpr double kMaxFactor = 1e6;
constexpr int64_t kMaxPositions = int64_t{1} << 40;
constexpr double kLocalTheta = 10000;  // of gemma3's sliding layers
constexpr char kScalings[] = "rope_type default, linear, dynamic, llama3 or yarn";

struct Scaling {
  const char* type;
  RopeScaling scaling;
  std::set<std::string> keys;  // that it reads, besides rope_type and rope_theta
};

const std::vector<Scaling>& Scalings() {
  static const auto& scalings = *new std::vector<Scaling>{
      {"default", RopeScaling::kNone, {}},
      {"linear", RopeScaling::kLinear, {"factor"}},
      // transformers stretches from max_position_embeddings, whatever the original length.
      {"dynamic", RopeScaling::kDynamic, {"factor", "original_max_position_embeddings"}},
      {"llama3", RopeScaling::kLlama3, {"factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor"}},
      {"yarn",
       RopeScaling::kYarn,
       {"factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim",
        "truncate"}}};
  return scalings;
}

absl::Status CheckKeys(const json& object, absl::string_view file_name, absl::string_view field, const Scaling& scaling) {
  for (const auto& [key, value] : object.items()) {
    if (key == "rope_type" || key == "type" || key == "rope_theta" || (key == "partial_rotary_factor" && value == 1)) continue;
    if (!scaling.keys.contains(key) && !value.is_null()) {
      return Unsupported(file_name, absl::StrCat(field, ".", key), value,
                         absl::StrCat("with rope_type ", scaling.type, ": rope_theta",
                                      scaling.keys.empty() ? " only" : absl::StrCat(", ", absl::StrJoin(scaling.keys, ", "))));
    }
  }
  return absl::OkStatus();
}

// As transformers infers it: what stretching takes from the sharpness of attention, given back.
double YarnAttentionFactor(double factor, JsonFields& fields) {
  const auto mscale_of = [&](double mscale) { return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1; };
  const double mscale = fields.Number("mscale", 0, kMaxFactor, 0), all = fields.Number("mscale_all_dim", 0, kMaxFactor, 0);
  const double inferred = mscale > 0 && all > 0 ? mscale_of(mscale) / mscale_of(all) : mscale_of(1);
  return fields.Number("attention_factor", 1e-6, kMaxFactor, inferred);
}

// The numbers of a scaling whose type is known.
void ReadNumbers(JsonFields& fields, const DecoderConfig& config, int64_t original_positions, Rope& rope) {
  if (rope.scaling == RopeScaling::kNone) return;
  rope.factor = fields.Number("factor", 1, kMaxFactor);
  if (rope.scaling == RopeScaling::kLinear) return;
  rope.original_positions = fields.Int("original_max_position_embeddings", 1, kMaxPositions, original_positions);
  if (rope.scaling == RopeScaling::kDynamic) {
    rope.original_positions = config.max_position_embeddings;
    if (config.head_dim <= 2) fields.Fail("rope_type", "dynamic needs a head_dim of more than 2");
  }
  if (rope.scaling == RopeScaling::kLlama3) {
    rope.low_freq_factor = fields.Number("low_freq_factor", 1e-6, kMaxFactor);
    rope.high_freq_factor = fields.Number("high_freq_factor", 1e-6, kMaxFactor);
    if (rope.high_freq_factor <= rope.low_freq_factor) fields.Fail("high_freq_factor", "must be above low_freq_factor");
  }
  if (rope.scaling == RopeScaling::kYarn) {
    rope.beta_fast = fields.Number("beta_fast", 1e-6, kMaxFactor, rope.beta_fast);
    rope.beta_slow = fields.Number("beta_slow", 1e-6, kMaxFactor, rope.beta_slow);
    rope.truncate = fields.Bool("truncate", true);
    rope.attention_factor = YarnAttentionFactor(rope.factor, fields);
    if (rope.theta <= 1) fields.Fail("rope_theta", "yarn needs a base above 1");
  }
}

// One object of rope_scaling or rope_parameters. `rope` holds the base so far.
absl::Status ReadScaling(const json& object, absl::string_view file_name, absl::string_view field, const DecoderConfig& config,
                         int64_t original_positions, Rope& rope) {
  JsonFields fields(object, absl::StrCat(file_name, ": ", field));
  if (!fields.status().ok()) return fields.status();
  const std::string type = fields.String("rope_type", fields.String("type", "default"));
  if (!fields.status().ok()) return fields.status();
  for (const Scaling& scaling : Scalings()) {
    if (type != scaling.type) continue;
    if (auto status = CheckKeys(object, file_name, field, scaling); !status.ok()) return status;
    rope.scaling = scaling.scaling;
    rope.theta = fields.Number("rope_theta", kMinTheta, kMaxTheta, rope.theta);
    ReadNumbers(fields, config, original_positions, rope);
    return fields.status();
  }
  return Unsupported(file_name, field, object, kScalings);
}

struct Source {
  const char* name;
  const json* object;
};

// rope_scaling and rope_parameters, those that are there.
std::vector<Source> Sources(const json& config) {
  std::vector<Source> sources;
  for (const char* name : {"rope_scaling", "rope_parameters"}) {
    const auto found = config.find(name);
    if (found != config.end() && !found->is_null()) sources.push_back({name, &*found});
  }
  return sources;
}

bool IsByLayerType(const json& object) {
  return object.is_object() && (object.contains("full_attention") || object.contains("sliding_attention"));
}

}  // namespace

absl::Status ReadRopes(const json& config_json, absl::string_view file_name, const ModelFamily& family, JsonFields& fields,
                       DecoderConfig& config) {
  Rope full, local;
  full.theta = fields.Number("rope_theta", kMinTheta, kMaxTheta, family.rope_theta);
  const double outer_theta = full.theta;
  local.theta = family.local_rope ? fields.Number("rope_local_base_freq", kMinTheta, kMaxTheta, kLocalTheta) : kLocalTheta;
  const int64_t original = fields.Int("original_max_position_embeddings", 1, kMaxPositions, config.max_position_embeddings);
  const auto read = [&](const json& object, const std::string& field, Rope& rope) {
    return ReadScaling(object, file_name, field, config, original, rope);
  };
  for (const Source& source : Sources(config_json)) {
    if (!family.local_rope || !IsByLayerType(*source.object)) {
      if (auto status = read(*source.object, source.name, full); !status.ok()) return status;
      continue;
    }
    for (const auto& [type, object] : source.object->items()) {
      if (type != "full_attention" && type != "sliding_attention")
        return Unsupported(file_name, absl::StrCat(source.name, ".", type), object, "full_attention, sliding_attention");
      if (object.is_null()) continue;
      const std::string field = absl::StrCat(source.name, ".", type);
      if (auto status = read(object, field, type == "full_attention" ? full : local); !status.ok()) return status;
    }
  }
  if (fields.Has("rope_theta") && full.theta != outer_theta) {
    return absl::InvalidArgumentError(
        absl::StrCat(file_name, ": rope_theta: ", outer_theta, " contradicts rope_parameters.rope_theta: ", full.theta));
  }
  config.ropes = {full};
  if (family.local_rope) config.ropes.push_back(local);
  return absl::OkStatus();
}

}  // namespace pixelrec::checkpoint
