#include "worker/trainer_records.h"

#include <google/protobuf/util/json_util.h>

#include <limits>
#include <string>
#include <vector>

namespace pixelrec {
namespace {

std::string SpecAsJson(const v1::JobSpec& spec) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  std::string json;
  return google::protobuf::util::MessageToJsonString(spec, &json, options).ok() ? json : "";
}

// int64 without an upper border: absent in the proto.
constexpr int64_t kNoBorder = std::numeric_limits<int64_t>::max();

std::vector<train::RankingRecord::At> FromProto(const google::protobuf::RepeatedPtrField<v1::MetricAtK>& metrics) {
  std::vector<train::RankingRecord::At> to;
  for (const v1::MetricAtK& at : metrics) to.push_back({.k = at.k(), .recall = at.recall(), .ndcg = at.ndcg()});
  return to;
}

train::RankingRecord FromProto(const v1::RankingMetrics& metrics) {
  train::RankingRecord record{.at = FromProto(metrics.at()),
                              .users = metrics.users(),
                              .masked_targets = metrics.masked_targets(),
                              .tied_targets = metrics.tied_targets(),
                              .groups = {}};
  for (const v1::MetricGroup& group : metrics.groups()) {
    record.groups.push_back({.by = group.by(),
                             .at_least = group.at_least(),
                             .at_most = group.has_at_most() ? group.at_most() : kNoBorder,
                             .users = group.users(),
                             .at = FromProto(group.at())});
  }
  return record;
}

train::EpochRecord FromProto(const v1::EpochResult& epoch) {
  train::EpochRecord record{.epoch = epoch.epoch(),
                            .step = epoch.step(),
                            .train_loss = epoch.train_loss(),
                            .validation_loss = epoch.validation_loss(),
                            .best = epoch.best(),
                            .seconds = epoch.seconds(),
                            .validation = FromProto(epoch.validation()),
                            .samples = epoch.samples(),
                            .sample_digest = epoch.sample_digest()};
  return record;
}

void AddMetrics(const std::vector<train::RankingRecord::At>& from, google::protobuf::RepeatedPtrField<v1::MetricAtK>* to) {
  for (const auto& at : from) {
    v1::MetricAtK* metric = to->Add();
    metric->set_k(at.k);
    metric->set_recall(at.recall);
    metric->set_ndcg(at.ndcg);
  }
}

v1::RankingMetrics ToProto(const train::RankingRecord& record) {
  v1::RankingMetrics metrics;
  AddMetrics(record.at, metrics.mutable_at());
  metrics.set_users(record.users);
  metrics.set_masked_targets(record.masked_targets);
  metrics.set_tied_targets(record.tied_targets);
  for (const train::RankingRecord::Group& group : record.groups) {
    v1::MetricGroup* to = metrics.add_groups();
    to->set_by(group.by);
    to->set_at_least(group.at_least);
    if (group.at_most != kNoBorder) to->set_at_most(group.at_most);
    to->set_users(group.users);
    AddMetrics(group.at, to->mutable_at());
  }
  return metrics;
}

train::OutputPolicy PolicyOf(v1::OutputPolicy policy) {
  if (policy == v1::OUTPUT_POLICY_RESUME) return train::OutputPolicy::kResume;
  return policy == v1::OUTPUT_POLICY_REPLACE ? train::OutputPolicy::kReplace : train::OutputPolicy::kNew;
}

dist::BackendChoice BackendOf(v1::Backend backend) {
  if (backend == v1::BACKEND_GLOO) return dist::BackendChoice::kGloo;
  return backend == v1::BACKEND_NCCL ? dist::BackendChoice::kNccl : dist::BackendChoice::kAuto;
}

train::CompatTraining CompatTrainingOf(const v1::JobSpec& spec) {
  const bool all = spec.numerics() == v1::NUMERICS_COMPAT;
  train::CompatTraining rules = all ? train::CompatTraining::All() : train::CompatTraining();
  const v1::CompatSpec& c = spec.compat();
  if (c.has_bf16_rounding()) rules.bf16_rounding = c.bf16_rounding();
  if (c.has_mean_per_rank()) rules.mean_per_rank = c.mean_per_rank();
  if (c.has_no_clipping()) rules.no_clipping = c.no_clipping();
  if (c.has_best_by_ndcg()) rules.best_by_ndcg = c.best_by_ndcg();
  if (c.has_bf16_scores()) rules.bf16_scores = c.bf16_scores();
  if (c.has_decay_unread()) rules.decay_unread = c.decay_unread();
  return rules;
}

data::CompatRules CompatOf(const v1::JobSpec& spec) {
  data::CompatRules rules = spec.numerics() == v1::NUMERICS_COMPAT ? data::CompatRules::All() : data::CompatRules();
  const v1::CompatSpec& c = spec.compat();
  if (c.has_columns_by_position()) rules.columns_by_position = c.columns_by_position();
  if (c.has_pandas_values()) rules.pandas_values = c.pandas_values();
  if (c.has_encode_empty_texts()) rules.encode_empty_texts = c.encode_empty_texts();
  if (c.has_random_left_slots()) rules.random_left_slots = c.random_left_slots();
  if (c.has_padded_negatives()) rules.padded_negatives = c.padded_negatives();
  if (c.has_num_negatives_per_sample()) rules.num_negatives_per_sample = c.num_negatives_per_sample();
  if (c.has_reference_sampler()) rules.reference_sampler = c.reference_sampler();
  return rules;
}

v1::ArtifactKind KindOf(train::ArtifactKind kind) {
  switch (kind) {
    case train::ArtifactKind::kEpochCheckpoint:
      return v1::ARTIFACT_KIND_EPOCH_CHECKPOINT;
    case train::ArtifactKind::kRecoveryCheckpoint:
      return v1::ARTIFACT_KIND_RECOVERY_CHECKPOINT;
    case train::ArtifactKind::kBestModel:
      return v1::ARTIFACT_KIND_BEST_MODEL;
  }
  return v1::ARTIFACT_KIND_UNSPECIFIED;
}

v1::FailureCause CauseOf(train::FailureKind kind) {
  switch (kind) {
    case train::FailureKind::kBadData:
      return v1::FAILURE_CAUSE_BAD_DATA;
    case train::FailureKind::kBadModel:
      return v1::FAILURE_CAUSE_BAD_MODEL;
    case train::FailureKind::kOutOfMemory:
      return v1::FAILURE_CAUSE_OUT_OF_MEMORY;
    case train::FailureKind::kNonfiniteLoss:
      return v1::FAILURE_CAUSE_NONFINITE_LOSS;
    case train::FailureKind::kLossCollapse:
      return v1::FAILURE_CAUSE_LOSS_COLLAPSE;
    case train::FailureKind::kOutputUnwritable:
      return v1::FAILURE_CAUSE_OUTPUT_UNWRITABLE;
    case train::FailureKind::kDiskFull:
      return v1::FAILURE_CAUSE_DISK_FULL;
    case train::FailureKind::kCheckpointDamaged:
      return v1::FAILURE_CAUSE_CHECKPOINT_DAMAGED;
    case train::FailureKind::kCollective:
      return v1::FAILURE_CAUSE_COLLECTIVE;
    case train::FailureKind::kInternal:
      return v1::FAILURE_CAUSE_INTERNAL;
    case train::FailureKind::kBadSpec:
      return v1::FAILURE_CAUSE_BAD_SPEC;
  }
  return v1::FAILURE_CAUSE_INTERNAL;
}

int ItemZeroStage(const v1::DistributedSpec& distributed) {
  return distributed.has_item_zero_stage() ? distributed.item_zero_stage() : distributed.zero_stage();
}

int UserZeroStage(const v1::DistributedSpec& distributed) {
  return distributed.has_user_zero_stage() ? distributed.user_zero_stage() : distributed.zero_stage();
}

}  // namespace

train::TrainJob ToTrainJob(const v1::TrainerCommand& command) {
  const v1::TrainerPlan& plan = command.plan();
  const v1::JobSpec& spec = plan.spec();
  const v1::TrainSpec& t = spec.train();
  train::TrainJob job{
      .job_id = command.job_id(),
      .job_name = spec.name(),
      .generation = command.generation(),
      .rank = plan.rank(),
      .world_size = plan.world_size(),
      .host_address = plan.host_address().empty() ? "127.0.0.1" : plan.host_address(),
      .threads = plan.threads(),
      .backend = BackendOf(spec.distributed().backend()),
      .spec_json = SpecAsJson(spec),
      .dataset_dir = std::filesystem::path(plan.dataset_cache_dir()) / plan.data_hash(),
      .item_model_dir = spec.model().item_model_dir(),
      .user_model_dir = spec.model().user_model_dir(),
      .init_from = spec.model().init_from(),
      .output_dir = spec.output_dir(),
      .output_policy = PolicyOf(spec.output_policy()),
      .text_keys = {spec.data().text_keys().begin(), spec.data().text_keys().end()},
      .item_prompt = spec.data().item_prompt(),
      .item_emb_token_n = spec.model().item_emb_token_n(),
      .item_llm_init = spec.model().item_llm_init(),
      .user_llm_init = spec.model().user_llm_init(),
      .gradient_checkpointing = spec.model().gradient_checkpointing(),
      .offload_optimizer = spec.distributed().offload_optimizer() == v1::OFFLOAD_CPU,
      .item_zero_stage = ItemZeroStage(spec.distributed()),
      .user_zero_stage = UserZeroStage(spec.distributed()),
      .global_batch_size = plan.global_batch_size(),
      .micro_batch_size =
          std::min<int64_t>(plan.global_batch_size(), int64_t{t.per_device_train_batch_size()} * spec.distributed().workers()),
      .grad_cache = t.grad_cache(),
      .epochs = t.num_train_epochs(),
      .learning_rate = t.learning_rate(),
      .warmup_ratio = t.warmup_ratio(),
      .weight_decay = t.weight_decay(),
      .max_grad_norm = t.max_grad_norm(),
      .num_negatives = t.num_negatives(),  // absent reads as 0: M per sample
      .data_compat = CompatOf(spec),
      .reference_ranks = std::max(1, spec.distributed().workers()),
      .data_split = spec.data().data_split(),
      .bf16 = t.bf16(),
      .seed = t.seed(),
      .dataloader_num_workers = t.dataloader_num_workers(),
      .logging_steps = t.logging_steps(),
      .max_nonfinite_steps = t.max_nonfinite_steps(),
      .max_collapsed_steps = t.max_collapsed_steps(),
      .freeze = {spec.model().freeze().begin(), spec.model().freeze().end()},
      .lr_mult_prefix = {t.lr_mult_prefix().begin(), t.lr_mult_prefix().end()},
      .early_stopping = {.metric = t.early_stopping().metric(), .patience = t.early_stopping().patience()},
      .compat = CompatTrainingOf(spec),
      .evaluate_every_epochs = spec.evaluation().every_epochs(),
      .ks = {spec.evaluation().k().begin(), spec.evaluation().k().end()},
      .checkpoint_every_steps = spec.checkpoint().every_steps(),
      .checkpoint_every_seconds = spec.checkpoint().every_seconds(),
      .evaluate_only = spec.kind() == "Evaluate",
      .resume_from = plan.resume_from().path(),
      .resume_digest = plan.resume_from().manifest_digest(),
      .finished_epochs = {},
  };
  for (const auto& epoch : plan.finished_epochs()) job.finished_epochs.push_back(FromProto(epoch));
  return job;
}

data::PrepareOptions ToPrepareOptions(const v1::TrainerPlan& plan) {
  const v1::DataSpec& d = plan.spec().data();
  data::PrepareOptions options;
  options.interaction_data = d.interaction_data();
  options.text_data = d.text_data();
  if (!d.item_data().empty()) options.item_data = d.item_data();
  options.text_keys = {d.text_keys().begin(), d.text_keys().end()};
  options.item_prompt = d.item_prompt();
  options.max_text_length = d.max_text_length();
  options.max_seq_length = d.max_seq_length();
  options.data_split = d.data_split();
  options.cold_items = d.cold_items();
  options.compat = CompatOf(plan.spec());
  options.tokenizer_dir = plan.spec().model().item_model_dir();
  options.cache_dir = plan.dataset_cache_dir();
  options.threads = std::max(1, plan.threads());
  return options;
}

namespace {

v1::Stalls ToProto(const train::StallRecord& s) {
  v1::Stalls to;
  to.set_data_seconds(s.data_seconds);
  to.set_checkpoint_seconds(s.checkpoint_seconds);
  return to;
}

}  // namespace

v1::Progress ToProto(const train::ProgressRecord& p) {
  v1::Progress to;
  to.set_epoch(p.epoch);
  to.set_epochs(p.epochs);
  to.set_step(p.step);
  to.set_total_steps(p.total_steps);
  to.set_loss(p.loss);
  to.set_learning_rate(p.learning_rate);
  to.set_grad_norm(p.grad_norm);
  to.set_tokens_per_second(p.tokens_per_second);
  to.set_samples_per_second(p.samples_per_second);
  to.set_step_seconds(p.step_seconds);
  to.set_eta_seconds(p.eta_seconds);
  to.set_section(p.section);
  to.set_section_fraction(p.section_fraction);
  to.set_record(p.record);
  *to.mutable_stalls() = ToProto(p.stalls);
  return to;
}

v1::StepTimings ToProto(const train::StepRecord& s) {
  v1::StepTimings to;
  to.set_step(s.step);
  to.set_epoch(s.epoch);
  to.set_data_seconds(s.data_seconds);
  to.set_forward_seconds(s.forward_seconds);
  to.set_backward_seconds(s.backward_seconds);
  to.set_communication_seconds(s.communication_seconds);
  to.set_optimizer_seconds(s.optimizer_seconds);
  to.set_samples(s.samples);
  to.set_tokens(s.tokens);
  to.set_loss(s.loss);
  to.set_learning_rate(s.learning_rate);
  to.set_grad_norm(s.grad_norm);
  to.set_nonfinite(s.nonfinite);
  return to;
}

v1::EpochResult ToProto(const train::EpochRecord& e) {
  v1::EpochResult to;
  to.set_epoch(e.epoch);
  to.set_step(e.step);
  to.set_train_loss(e.train_loss);
  to.set_validation_loss(e.validation_loss);
  to.set_best(e.best);
  to.set_seconds(e.seconds);
  if (!e.validation.at.empty()) *to.mutable_validation() = ToProto(e.validation);
  to.set_samples(e.samples);
  to.set_sample_digest(e.sample_digest);
  return to;
}

v1::Artifact ToProto(const train::ArtifactRecord& a) {
  v1::Artifact to;
  to.set_kind(KindOf(a.kind));
  to.set_path(a.path.string());
  to.set_staging_path(a.staging_path.string());
  to.set_epoch(a.epoch);
  to.set_step(a.step);
  to.set_bytes(a.bytes);
  to.set_write_seconds(a.write_seconds);
  to.set_manifest_digest(a.manifest_digest);
  to.set_validation_loss(a.validation_loss);
  to.set_samples(a.samples);
  to.set_sample_digest(a.sample_digest);
  *to.mutable_stalls() = ToProto(a.stalls);
  return to;
}

v1::JobResult ToProto(const train::ResultRecord& r) {
  v1::JobResult to;
  for (const auto& epoch : r.epochs) *to.add_epochs() = ToProto(epoch);
  *to.mutable_test() = ToProto(r.test);
  *to.mutable_popularity() = ToProto(r.popularity);
  *to.mutable_last_item() = ToProto(r.last_item);
  if (!r.validation.at.empty()) *to.mutable_validation() = ToProto(r.validation);
  if (r.validation_loss) to.set_validation_loss(*r.validation_loss);
  to.set_train_seconds(r.train_seconds);
  to.set_evaluation_seconds(r.evaluation_seconds);
  to.set_samples(r.samples);
  to.set_tokens(r.tokens);
  to.set_sample_digest(r.sample_digest);
  *to.mutable_stalls() = ToProto(r.stalls);
  return to;
}

v1::DatasetPrepared ToProto(const data::PrepareReport& r) {
  v1::DatasetPrepared to;
  to.set_data_hash(r.data_hash);
  to.set_path(r.path.string());
  to.set_reused(r.reused);
  to.set_users(r.users);
  to.set_items(r.items);
  to.set_interactions(r.interactions);
  to.set_samples(r.samples);
  to.set_tokens(r.tokens);
  to.set_truncated_items(r.truncated_items);
  to.set_items_without_text(r.items_without_text);
  to.set_short_users(r.short_users);
  to.set_dropped_chunks(r.dropped_chunks);
  to.set_duplicate_interactions(r.duplicate_interactions);
  to.set_seconds(r.seconds);
  return to;
}

v1::Failure ToProto(const train::TypedFailure& failure, int rank) {
  v1::Failure to;
  to.set_cause(CauseOf(failure.kind));
  to.set_message(failure.message);
  to.set_hint(failure.hint);
  to.set_rank(rank);
  return to;
}

}  // namespace pixelrec
