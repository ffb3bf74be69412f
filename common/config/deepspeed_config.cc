#include "common/config/deepspeed_config.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/config/deepspeed_keys.h"
#include "common/config/field.h"
#include "common/config/job_fields.h"
#include "common/config/json_tree.h"

namespace pixelrec::config {
namespace {

using nlohmann::json;
using enum DeepSpeedTreatment;

constexpr char kGlobalBatch[] = "spec.train.global_batch_size";
constexpr char kMicroBatch[] = "spec.train.per_device_train_batch_size";
constexpr char kAccumulation[] = "spec.train.gradient_accumulation_steps";
constexpr char kWarmupRatio[] = "spec.train.warmup_ratio";
constexpr char kWarmupSteps[] = "scheduler.params.warmup_num_steps";
constexpr char kTotalSteps[] = "scheduler.params.total_num_steps";

absl::Status Refuse(const std::string& where, absl::string_view path, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", path, ": ", why));
}

// The keys as Fields, whose look-up of the nearest key they share.
const std::vector<Field>& KeysAsFields() {
  static const std::vector<Field>* const fields = [] {
    auto* all = new std::vector<Field>;
    for (const DeepSpeedKey& key : DeepSpeedKeys()) all->push_back(MakeField(FieldType::kString, key.path, nullptr, ""));
    return all;
  }();
  return *fields;
}

bool IsObjectOfKeys(const std::string& path) {
  const std::string prefix = path + ".";
  return std::any_of(DeepSpeedKeys().begin(), DeepSpeedKeys().end(),
                     [&](const DeepSpeedKey& key) { return absl::StartsWith(key.path, prefix); });
}

// 2e8 is an integer in these files.
bool IsWhole(const json& value) {
  constexpr double kExact = 9007199254740992.0;
  if (value.is_number_integer()) return !value.is_number_unsigned() || value.get<uint64_t>() <= INT64_MAX;
  return value.is_number_float() && std::floor(value.get<double>()) == value.get<double>() &&
         std::abs(value.get<double>()) <= kExact;
}

absl::string_view TypeText(DeepSpeedType type) {
  switch (type) {
    case DeepSpeedType::kBoolean:
      return "true or false";
    case DeepSpeedType::kInteger:
      return "an integer";
    case DeepSpeedType::kNumber:
      return "a number";
    case DeepSpeedType::kText:
      return "a string";
    case DeepSpeedType::kNumberList:
      return "a list of numbers";
    case DeepSpeedType::kObject:
      return "an object {...}";
  }
  return "";
}

bool HasType(const json& value, DeepSpeedType type) {
  switch (type) {
    case DeepSpeedType::kBoolean:
      return value.is_boolean();
    case DeepSpeedType::kInteger:
      return IsWhole(value);
    case DeepSpeedType::kNumber:
      return value.is_number();
    case DeepSpeedType::kText:
      return value.is_string();
    case DeepSpeedType::kNumberList:
      return value.is_array() && std::all_of(value.begin(), value.end(), [](const json& v) { return v.is_number(); });
    case DeepSpeedType::kObject:
      return false;  // is a node of its own kind
  }
  return false;
}

// Names of DeepSpeed's that the field has another word for.
json Translate(const DeepSpeedKey& key, const json& value) {
  if (key.type == DeepSpeedType::kInteger && value.is_number_float()) return static_cast<int64_t>(value.get<double>());
  if (key.type == DeepSpeedType::kNumber) return value.get<double>();
  if (key.path == "optimizer.type") {
    const std::string name = absl::AsciiStrToLower(value.get<std::string>());
    return name == "adam" ? "adamw" : name;
  }
  if (key.path == "zero_optimization.cpu_offload") return value.get<bool>() ? "cpu" : "none";
  if (key.path == "scheduler.type" && value == "WarmupCosineLR") return "cosine";
  return value;
}

bool IsHarmless(const DeepSpeedKey& key, const json& value) {
  return std::find(key.harmless.begin(), key.harmless.end(), value) != key.harmless.end();
}

// Walks one document in its order; the first problem ends the walk.
class Reader {
 public:
  absl::Status ReadObject(const JsonNode& object, const std::string& path) {
    for (const JsonNode& node : object.members) {
      const std::string child = path.empty() ? node.key : absl::StrCat(path, ".", node.key);
      // A dot inside a key would reach into another object.
      const bool plain = !absl::StrContains(node.key, '.');
      absl::Status status;
      if (const DeepSpeedKey* key = plain ? FindDeepSpeedKey(child) : nullptr) {
        status = ReadKey(*key, node);
      } else if (plain && IsObjectOfKeys(child)) {
        if (!node.is_object && node.value.is_null()) continue;
        if (!node.is_object) return WrongType(node, child, "an object {...}");
        status = ReadObject(node, child);
      } else {
        return absl::InvalidArgumentError(absl::StrCat(node.where, ": unknown key ", DisplayValue(node.key),
                                                       path.empty() ? "" : absl::StrCat(" in ", path), "; ",
                                                       NearestKeyHint(KeysAsFields(), path, node.key)));
      }
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<DeepSpeedConfig> Finish() {
    if (absl::Status status = SetWarmupRatio(); !status.ok()) return status;
    return std::move(result_);
  }

 private:
  static absl::Status WrongType(const JsonNode& node, const std::string& path, absl::string_view expected) {
    return Refuse(node.where, path,
                  absl::StrCat("must be ", expected, " (got ", node.is_object ? "an object" : DisplayValue(node.value), ")"));
  }

  absl::Status ReadKey(const DeepSpeedKey& key, const JsonNode& node) {
    if (!node.is_object && node.value.is_null()) return absl::OkStatus();
    if (key.type == DeepSpeedType::kObject) {
      if (!node.is_object) return WrongType(node, key.path, TypeText(key.type));
      return ReadWholeObject(key, node);
    }
    const bool automatic = node.value == "auto" && !node.is_object;
    if (node.is_object || (!automatic && !HasType(node.value, key.type))) {
      return WrongType(node, key.path, absl::StrCat(TypeText(key.type), " or \"auto\""));
    }
    switch (key.treatment) {
      case kMapped:
        if (automatic) {
          result_.automatic.insert(key.target);
          return absl::OkStatus();
        }
        return key.target == kWarmupRatio ? KeepSteps(key, node) : Set(key, node);
      case kNoEffect:
        Notice(node.where, key.path, key.why);
        return absl::OkStatus();
      case kRefused:
        if (!automatic && !IsHarmless(key, node.value)) {
          return Refuse(node.where, key.path, absl::StrCat(DisplayValue(node.value), " is refused: ", key.why));
        }
        Notice(node.where, key.path, automatic ? absl::string_view("\"auto\" leaves it as it is here") : key.harmless_why);
    }
    return absl::OkStatus();
  }

  // One line for the object, whatever is in it.
  absl::Status ReadWholeObject(const DeepSpeedKey& key, const JsonNode& node) {
    const auto enabled =
        std::find_if(node.members.begin(), node.members.end(), [](const JsonNode& member) { return member.key == "enabled"; });
    if (key.treatment == kRefused) {
      if (enabled == node.members.end() || enabled->is_object || !IsHarmless(key, enabled->value)) {
        return Refuse(node.where, key.path, absl::StrCat("is refused: ", key.why));
      }
      Notice(node.where, key.path, key.harmless_why);
    } else {
      Notice(node.where, key.path, key.why);
    }
    return absl::OkStatus();
  }

  void Notice(const std::string& where, absl::string_view path, absl::string_view why) {
    result_.notices.push_back(absl::StrCat(where, ": ", path, ": accepted, no effect because ", why));
  }

  absl::Status Set(const DeepSpeedKey& key, const JsonNode& node) {
    const json value = Translate(key, node.value);
    const Field& field = *FindField(JobFields(), key.target);
    if (const std::string refusal = RefusalOf(field, value); !refusal.empty()) {
      if (value.is_string()) {
        return Refuse(node.where, key.path, absl::StrCat(DisplayValue(node.value), " is refused: possible is ", key.why));
      }
      return Refuse(node.where, key.path, absl::StrCat(refusal, key.why.empty() ? "" : "; ", key.why));
    }
    return Put(key.target, {value, key.path, node.where});
  }

  absl::Status Put(const std::string& target, DeepSpeedConfig::Setting setting) {
    const auto [known, added] = result_.settings.emplace(target, setting);
    if (added || known->second.value == setting.value) return absl::OkStatus();
    return Refuse(setting.where, setting.key,
                  absl::StrCat(DisplayValue(setting.value), " contradicts ", known->second.key, ": ",
                               DisplayValue(known->second.value), " at ", known->second.where, "; leave one of the two out"));
  }

  absl::Status KeepSteps(const DeepSpeedKey& key, const JsonNode& node) {
    if (node.value < 0) return Refuse(node.where, key.path, absl::StrCat("must be >= 0 (got ", DisplayValue(node.value), ")"));
    steps_[key.path] = {node.value, key.path, node.where};
    return absl::OkStatus();
  }

  // The job's schedule knows a share, since its steps follow from the data.
  absl::Status SetWarmupRatio() {
    const auto warmup = steps_.find(kWarmupSteps);
    const auto total = steps_.find(kTotalSteps);
    if (warmup == steps_.end()) {
      if (total != steps_.end()) {
        Notice(total->second.where, kTotalSteps, "the steps follow from the data and train.num_train_epochs");
      }
      return absl::OkStatus();
    }
    const DeepSpeedConfig::Setting& setting = warmup->second;
    const double steps = setting.value.get<double>();
    if (steps == 0) return Put(kWarmupRatio, {0.0, setting.key, setting.where});
    if (total == steps_.end()) {
      return Refuse(setting.where, kWarmupSteps,
                    absl::StrCat("needs ", kTotalSteps,
                                 " as a number: the job knows warm-up as a share of its steps; give it, or "
                                 "write \"auto\" and set train.warmup_ratio in job.yaml"));
    }
    const double all = total->second.value.get<double>();
    if (steps > all) {
      return Refuse(setting.where, kWarmupSteps,
                    absl::StrCat("must not exceed ", kTotalSteps, " (got ", DisplayValue(setting.value), " > ",
                                 DisplayValue(total->second.value), ")"));
    }
    return Put(kWarmupRatio, {steps / all, setting.key, setting.where});
  }

  DeepSpeedConfig result_;
  std::map<std::string, DeepSpeedConfig::Setting> steps_;  // of the scheduler
};

int64_t NumberOr(const FieldValues& job, const std::string& path, int64_t absent) {
  const auto found = job.values.find(path);
  return found == job.values.end() ? absent : found->second.get<int64_t>();
}

// DeepSpeed's rule for a micro-batch that neither file names: the global batch in equal parts.
absl::Status DeriveMicroBatch(const DeepSpeedConfig& config, FieldValues& job) {
  const auto global = config.settings.find(kGlobalBatch);
  if (global == config.settings.end() || config.automatic.contains(kMicroBatch) || job.values.contains(kMicroBatch)) {
    return absl::OkStatus();
  }
  const int64_t workers = NumberOr(job, "spec.distributed.workers", NumberOr(job, "spec.distributed.min_workers", 1));
  const int64_t parts = NumberOr(job, kAccumulation, 1) * workers;
  const DeepSpeedConfig::Setting& setting = global->second;
  if (setting.value.get<int64_t>() % parts != 0) {
    return Refuse(setting.where, setting.key,
                  absl::StrCat(DisplayValue(setting.value), " doesn't divide into ", NumberOr(job, kAccumulation, 1),
                               " micro-steps x ", workers, " workers; give train_micro_batch_size_per_gpu"));
  }
  job.values[kMicroBatch] = setting.value.get<int64_t>() / parts;
  job.places[kMicroBatch] = setting.where;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<DeepSpeedConfig> ParseDeepSpeedConfig(absl::string_view text, absl::string_view file) {
  const absl::StatusOr<JsonNode> root = ParseJsonTree(text, file);
  if (!root.ok()) return root.status();
  Reader reader;
  if (absl::Status status = reader.ReadObject(*root, ""); !status.ok()) return status;
  return reader.Finish();
}

absl::Status MergeDeepSpeedConfig(const DeepSpeedConfig& config, FieldValues& job) {
  for (const auto& [path, setting] : config.settings) {
    const auto said = job.values.find(path);
    if (said == job.values.end()) {
      job.values[path] = setting.value;
      job.places[path] = setting.where;
    } else if (said->second != setting.value) {
      return Refuse(job.PlaceOf(path), path,
                    absl::StrCat(DisplayValue(said->second), " contradicts ", setting.key, ": ", DisplayValue(setting.value),
                                 " at ", setting.where, "; leave one of the two out, or write \"auto\" there"));
    }
  }
  return DeriveMicroBatch(config, job);
}

}  // namespace pixelrec::config
