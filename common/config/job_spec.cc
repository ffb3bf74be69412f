#include "common/config/job_spec.h"

#include <cstdint>

#include "common/config/field.h"
#include "common/config/job_document.h"
#include "common/config/job_fields.h"
#include "common/config/spec_access.h"

namespace pixelrec::config {
namespace {

// Defaults that follow from other fields.
void DeriveWorkers(v1::DistributedSpec& distributed) {
  if (!distributed.has_workers() && distributed.has_min_workers()) distributed.set_workers(distributed.min_workers());
  if (!distributed.has_workers()) distributed.set_workers(1);
  if (!distributed.has_min_workers()) distributed.set_min_workers(distributed.workers());
  if (!distributed.has_max_workers()) distributed.set_max_workers(distributed.workers());
}

// Rule W10: the number of micro-steps follows from the global batch where that is given.
void DeriveAccumulation(v1::JobSpec& spec) {
  v1::TrainSpec& train = *spec.mutable_train();
  if (!train.has_global_batch_size() || train.has_gradient_accumulation_steps()) return;
  const int64_t per_device = train.has_per_device_train_batch_size() ? train.per_device_train_batch_size() : 4;
  const int64_t micro = per_device * spec.distributed().workers();
  if (micro <= 0 || train.global_batch_size() <= 0) return;
  train.set_gradient_accumulation_steps(static_cast<int32_t>((train.global_batch_size() + micro - 1) / micro));
}

}  // namespace

absl::StatusOr<v1::JobSpec> ParseJobYaml(absl::string_view yaml, absl::string_view file, absl::string_view base_dir,
                                         const std::vector<std::string>& overrides) {
  absl::StatusOr<JobDocument> document = ParseJobDocument(yaml, file, base_dir, overrides);
  if (!document.ok()) return document.status();
  return std::move(document->spec);
}

void ApplyDefaults(v1::JobSpec& spec) {
  DeriveWorkers(*spec.mutable_distributed());
  for (const Field& field : JobFields()) {
    const bool derived = field.path == "spec.train.gradient_accumulation_steps" && spec.train().has_global_batch_size();
    if (derived || field.default_value.is_null() || SpecPath(field).empty()) continue;
    if (GetField(spec, field).is_null()) SetField(spec, field, field.default_value);
  }
  DeriveAccumulation(spec);
}

int64_t GlobalBatchSize(const v1::JobSpec& spec) {
  const v1::TrainSpec& train = spec.train();
  if (train.has_global_batch_size()) return train.global_batch_size();
  return int64_t{train.per_device_train_batch_size()} * spec.distributed().workers() * train.gradient_accumulation_steps();
}

}  // namespace pixelrec::config
