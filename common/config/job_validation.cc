#include "common/config/job_validation.h"

#include <cmath>
#include <filesystem>
#include <set>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/config/field.h"
#include "common/config/job_fields.h"
#include "common/config/job_spec.h"
#include "common/config/spec_access.h"
#include "common/config/utf8.h"

namespace pixelrec::config {
namespace {

using nlohmann::json;

std::optional<SpecProblem> Problem(std::string path, std::string message) {
  return SpecProblem{std::move(path), std::move(message)};
}

// A message built by another client can hold what YAML can't spell.
std::string RefusalOfWireValue(const Field& field, const json& value) {
  if (value.is_number_float() && !std::isfinite(value.get<double>()))
    return absl::StrCat("must be finite (got ", value.get<double>(), ")");
  if (field.type == FieldType::kEnum && !value.is_string()) return absl::StrCat("has the unknown value ", DisplayValue(value));
  if (value.is_string() && !FirstInvalidUtf8(value.get_ref<const std::string&>()).ok) return "is not valid text";
  return RefusalOf(field, value);
}

std::optional<SpecProblem> FindFieldProblem(const v1::JobSpec& spec, const Field& field) {
  const json value = GetField(spec, field);
  if (value.is_null()) {
    if (field.required) return Problem(field.path, absl::StrCat("is required: ", field.doc));
    return std::nullopt;
  }
  if (std::string refusal = RefusalOfWireValue(field, value); !refusal.empty()) return Problem(field.path, refusal);
  if (field.type == FieldType::kPath && !std::filesystem::path(value.get<std::string>()).is_absolute()) {
    return Problem(field.path, absl::StrCat("must be absolute once submitted (got ", DisplayValue(value), ")"));
  }
  return std::nullopt;
}

std::optional<SpecProblem> FindDistributedProblem(const v1::DistributedSpec& distributed) {
  const int32_t workers = distributed.workers();
  const int32_t low = distributed.min_workers();
  const int32_t high = distributed.max_workers();
  if (low > high) {
    return Problem("spec.distributed.min_workers", absl::StrCat("must not exceed max_workers (got ", low, " > ", high, ")"));
  }
  if (workers < low || workers > high) {
    return Problem("spec.distributed.workers",
                   absl::StrCat("must lie between min_workers ", low, " and max_workers ", high, " (got ", workers, ")"));
  }
  if (distributed.has_deepspeed_config()) {
    return Problem("spec.distributed.deepspeed_config",
                   "is read where the job is written, by pixelrecctl; a JobSpec carries the values it stands for");
  }
  return std::nullopt;
}

// Rule W10: with a global batch given, the number of micro-steps follows.
std::optional<SpecProblem> FindBatchProblem(const v1::JobSpec& spec) {
  const v1::TrainSpec& train = spec.train();
  const int64_t micro = int64_t{train.per_device_train_batch_size()} * spec.distributed().workers();
  constexpr int64_t kLargest = int64_t{1} << 24;
  const int64_t global = GlobalBatchSize(spec);
  if (global > kLargest) {
    return Problem("spec.train.per_device_train_batch_size",
                   absl::StrCat("gives ", global, " users per optimiser step; at most ", kLargest));
  }
  if (spec.distributed().max_workers() > global) {
    return Problem(
        "spec.distributed.max_workers",
        absl::StrCat("must not exceed the ", global, " users of an optimiser step (got ", spec.distributed().max_workers(),
                     "): further workers would get none; lower it, or raise train.global_batch_size"));
  }
  const int64_t steps = (global + micro - 1) / micro;
  if (train.has_global_batch_size() && train.gradient_accumulation_steps() != steps) {
    return Problem("spec.train.gradient_accumulation_steps",
                   absl::StrCat("contradicts global_batch_size: ", global, " users in micro-steps of ",
                                train.per_device_train_batch_size(), " x ", spec.distributed().workers(), " workers are ", steps,
                                " micro-steps, not ", train.gradient_accumulation_steps(), "; leave one of the two out"));
  }
  return std::nullopt;
}

// Rule T5: the reference gives every worker per_device_train_batch_size samples of each step (T4 divides by as many); a step of
// another size has no place in it.
std::optional<SpecProblem> FindReferenceBatchProblem(const v1::JobSpec& spec) {
  const bool compat = spec.numerics() == v1::NUMERICS_COMPAT;
  const v1::CompatSpec& rules = spec.compat();
  const bool strided = rules.has_reference_sampler() ? rules.reference_sampler() : compat;
  const bool divided = rules.has_num_negatives_per_sample() ? rules.num_negatives_per_sample() : compat;
  if (!strided && !divided) return std::nullopt;
  const int64_t micro = int64_t{spec.train().per_device_train_batch_size()} * spec.distributed().workers();
  const int64_t global = GlobalBatchSize(spec);
  if (micro > 0 && global % micro == 0) return std::nullopt;
  const int64_t below = global / micro * micro;
  return Problem("spec.train.global_batch_size",
                 absl::StrCat("must be a multiple of per_device_train_batch_size x workers = ",
                              spec.train().per_device_train_batch_size(), " x ", spec.distributed().workers(), " with compat.",
                              strided ? "reference_sampler" : "num_negatives_per_sample", " (got ", global,
                              "): the reference draws so many for each worker; use ",
                              below > 0 ? absl::StrCat(below, " or ") : "", below + micro, ", or switch that rule off"));
}

// The reference has neither micro-steps nor GradCache; these rules divide by what a micro-step is, or round what is cached.
std::optional<SpecProblem> FindGradCacheProblem(const v1::JobSpec& spec) {
  if (!spec.train().grad_cache()) return std::nullopt;
  const bool compat = spec.numerics() == v1::NUMERICS_COMPAT;
  const v1::CompatSpec& c = spec.compat();
  for (const auto& [name, set, on] :
       {std::tuple("bf16_rounding", c.has_bf16_rounding(), c.bf16_rounding()),
        std::tuple("mean_per_rank", c.has_mean_per_rank(), c.mean_per_rank()),
        std::tuple("num_negatives_per_sample", c.has_num_negatives_per_sample(), c.num_negatives_per_sample()),
        std::tuple("reference_sampler", c.has_reference_sampler(), c.reference_sampler())}) {
    if (set ? !on : !compat) continue;
    return Problem("spec.train.grad_cache",
                   absl::StrCat("contradicts compat.", name, (set ? "" : ", which numerics: compat switches on"),
                                ": the reference has no such thing; leave one of the two out"));
  }
  return std::nullopt;
}

std::optional<SpecProblem> FindListProblem(const v1::JobSpec& spec) {
  std::set<std::string> keys;
  for (const std::string& key : spec.data().text_keys()) {
    if (key.empty()) return Problem("spec.data.text_keys", "has an empty name");
    if (!keys.insert(key).second) return Problem("spec.data.text_keys", absl::StrCat("names \"", key, "\" twice"));
  }
  int32_t last = 0;
  for (const int32_t k : spec.evaluation().k()) {
    if (k <= last) return Problem("spec.evaluation.k", absl::StrCat("must ascend (", k, " after ", last, ")"));
    last = k;
  }
  for (const auto& [key, value] : spec.labels()) {
    if (key.empty() || key.size() > 63 || value.size() > 255) {
      return Problem("metadata.labels", "keys have 1-63 bytes, values at most 255");
    }
  }
  return std::nullopt;
}

std::optional<SpecProblem> FindEvaluateProblem(const v1::JobSpec& spec) {
  if (spec.kind() != "Evaluate" || !spec.model().init_from().empty()) return std::nullopt;
  return Problem("spec.model.init_from",
                 "is required for kind: Evaluate: the checkpoint or best_model/ whose weights are evaluated");
}

// A metric that no epoch reports would never stop anything.
std::optional<SpecProblem> FindEarlyStoppingProblem(const v1::JobSpec& spec) {
  const v1::EarlyStopping& stopping = spec.train().early_stopping();
  const size_t at = stopping.metric().find('@');
  if (!stopping.has_patience() || at == std::string::npos) return std::nullopt;
  const std::string k = stopping.metric().substr(at + 1);
  for (const int32_t cut_off : spec.evaluation().k()) {
    if (absl::StrCat(cut_off) == k) return std::nullopt;
  }
  return Problem("spec.train.early_stopping.metric",
                 absl::StrCat("names a cut-off that evaluation.k doesn't have (got \"", stopping.metric(), "\", evaluation.k is ",
                              absl::StrJoin(spec.evaluation().k(), ", "), ")"));
}

}  // namespace

std::optional<SpecProblem> FindProblem(const v1::JobSpec& spec) {
  for (const Field& field : JobFields()) {
    if (auto problem = FindFieldProblem(spec, field)) return problem;
  }
  if (auto problem = FindDistributedProblem(spec.distributed())) return problem;
  if (auto problem = FindBatchProblem(spec)) return problem;
  if (auto problem = FindReferenceBatchProblem(spec)) return problem;
  if (auto problem = FindGradCacheProblem(spec)) return problem;
  if (auto problem = FindEvaluateProblem(spec)) return problem;
  if (auto problem = FindEarlyStoppingProblem(spec)) return problem;
  return FindListProblem(spec);
}

absl::Status ValidateJobSpec(const v1::JobSpec& spec) {
  const std::optional<SpecProblem> problem = FindProblem(spec);
  if (!problem) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(problem->path, ": ", problem->message));
}

}  // namespace pixelrec::config
