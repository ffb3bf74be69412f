#include "common/config/deepspeed_keys.h"

#include <algorithm>
#include <initializer_list>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/config/field.h"

namespace pixelrec::config {
namespace {

using nlohmann::json;
using Table = std::vector<DeepSpeedKey>;
using enum DeepSpeedTreatment;
using enum DeepSpeedType;

void Map(Table& table, std::string path, DeepSpeedType type, std::string target, std::string remark = "") {
  table.push_back({std::move(path), kMapped, type, std::move(target), {}, "", std::move(remark)});
}

void Ignore(Table& table, std::string path, DeepSpeedType type, std::string why) {
  table.push_back({std::move(path), kNoEffect, type, "", {}, "", std::move(why)});
}

// Several keys of one object, for one reason.
void IgnoreAll(Table& table, absl::string_view parent, std::initializer_list<const char*> keys, DeepSpeedType type,
               const std::string& why) {
  for (const char* key : keys) Ignore(table, absl::StrCat(parent, ".", key), type, why);
}

void Only(Table& table, std::string path, DeepSpeedType type, std::vector<json> harmless, std::string why,
          std::string harmless_why = "it is so here anyway") {
  table.push_back({std::move(path), kRefused, type, "", std::move(harmless), std::move(harmless_why), std::move(why)});
}

void Refuse(Table& table, std::string path, std::string why) { Only(table, std::move(path), kObject, {}, std::move(why)); }

// A whole object that must be switched off by its "enabled".
void Off(Table& table, std::string path, std::string why) {
  Only(table, std::move(path), kObject, {false}, std::move(why), "it is off");
}

void AddBatch(Table& table) {
  Map(table, "train_batch_size", kInteger, "spec.train.global_batch_size");
  Map(table, "train_micro_batch_size_per_gpu", kInteger, "spec.train.per_device_train_batch_size",
      "left out, it follows as in DeepSpeed: train_batch_size / gradient_accumulation_steps / workers");
  Map(table, "gradient_accumulation_steps", kInteger, "spec.train.gradient_accumulation_steps");
  Map(table, "gradient_clipping", kNumber, "spec.train.max_grad_norm",
      "0, no clipping, has a switch of its own: take the key out and set compat.no_clipping: true");
  Only(table, "dataloader_drop_last", kBoolean, {false}, "no sample is dropped here; take it out");
}

void AddPrecision(Table& table) {
  const std::string exchanged = "the type of gradients follows from the precision of the job";
  for (const char* section : {"bf16", "bfloat16"}) {
    Map(table, absl::StrCat(section, ".enabled"), kBoolean, "spec.train.bf16");
    Ignore(table, absl::StrCat(section, ".immediate_grad_update"), kBoolean,
           "gradients are added up as the backward pass yields them");
    Ignore(table, absl::StrCat(section, ".check_grad_overflow"), kBoolean, "a step with a non-finite gradient is skipped always");
    IgnoreAll(table, section, {"bf16_master_weights_and_grads", "bf16_optimizer_states"}, kBoolean,
              "master weights and moments are fp32 always");
  }
  Only(table, "fp16.enabled", kBoolean, {false},
       "there is no loss scaling, which fp16 needs; use \"bf16\": {\"enabled\": true} and take the fp16 section out");
  const std::string scaling = "nothing is computed in fp16, so that no loss is scaled";
  for (const char* section : {"fp16", "bf16"}) {
    IgnoreAll(table, section, {"loss_scale", "initial_scale_power", "loss_scale_window", "hysteresis", "min_loss_scale"}, kNumber,
              scaling);
  }
  IgnoreAll(table, "fp16", {"auto_cast", "consecutive_hysteresis", "fused_mode", "fp16_master_weights_and_grads"}, kBoolean,
            scaling);
  Ignore(table, "fp16.opt_level", kText, scaling);
  Off(table, "amp", "Apex mixed precision isn't built; use bf16 and take the section out");
  Off(table, "torch_autocast", "there is no autocast; use bf16 and take the section out");
  Ignore(table, "data_types.grad_accum_dtype", kText, exchanged);
  Ignore(table, "communication_data_type", kText, exchanged);
  Only(table, "seq_parallel_communication_data_type", kText, {"fp32"}, "there is no sequence parallelism; take it out");
}

void AddOffload(Table& table) {
  const std::string nvme = "nothing is moved to NVMe";
  const std::string path = "zero_optimization.";
  const std::string host =
      "a rank on a CPU has all of it in host memory already, and one on a GPU keeps what it computes with there";
  const std::string offloaded = "masters and moments are offloaded whole, through pinned memory, and updated there";
  const std::string no_nvme = "offload to NVMe isn't built; use \"cpu\", more workers or a higher stage";
  Map(table, path + "offload_optimizer.device", kText, "spec.distributed.offload_optimizer",
      "\"cpu\" or \"none\"; offload to NVMe isn't built: use \"cpu\", more workers or a higher stage");
  IgnoreAll(table, path + "offload_optimizer", {"pipeline", "pipeline_read", "pipeline_write", "fast_init"}, kBoolean, nvme);
  IgnoreAll(table, path + "offload_optimizer", {"pin_memory", "super_offload", "convert_grad_on_cpu"}, kBoolean, offloaded);
  IgnoreAll(table, path + "offload_optimizer", {"ratio", "cpuadam_cores_perc"}, kNumber, offloaded);
  Only(table, path + "offload_param.device", kText, {"none", "cpu"}, no_nvme, host);
  Ignore(table, path + "offload_param.pin_memory", kBoolean, host);
  for (const char* section : {"offload_optimizer", "offload_param"}) {
    Ignore(table, absl::StrCat(path, section, ".nvme_path"), kText, nvme);
    IgnoreAll(table, path + section, {"buffer_count", "buffer_size", "max_in_cpu"}, kInteger, nvme);
  }
  Map(table, path + "cpu_offload", kBoolean, "spec.distributed.offload_optimizer", "`true` is \"cpu\"");
  IgnoreAll(table, "zero_optimization", {"cpu_offload_params", "cpu_offload_param", "cpu_offload_use_pin_memory"}, kBoolean,
            host);
  Ignore(table, "aio", kObject, nvme);
  Ignore(table, "zero_force_ds_cpu_optimizer", kBoolean, "there is one optimiser for every device");
}

void AddZero(Table& table) {
  const std::string zero = "zero_optimization";
  Map(table, zero + ".stage", kInteger, "spec.distributed.zero_stage",
      "distributed.item_zero_stage and distributed.user_zero_stage still choose for one LLM");
  const std::string units = "what is sent at once is a unit of the model: a decoder layer, the embeddings, the rest";
  IgnoreAll(table, zero, {"reduce_bucket_size", "allgather_bucket_size", "sub_group_size"}, kInteger, units);
  IgnoreAll(table, zero, {"use_multi_rank_bucket_allreduce", "contiguous_gradients"}, kBoolean, units);
  const std::string collectives = "each stage has one schedule of collectives";
  IgnoreAll(table, zero, {"overlap_comm", "reduce_scatter", "allgather_partitions", "round_robin_gradients", "legacy_stage1"},
            kBoolean, collectives);
  IgnoreAll(table, zero, {"stage3_use_all_reduce_for_fetch_params", "stage3_allgather_sequential"}, kBoolean, collectives);
  const std::string gather = "stage 3 gathers unit by unit and frees each after its use";
  IgnoreAll(table, zero,
            {"stage3_max_live_parameters", "stage3_max_reuse_distance", "stage3_prefetch_bucket_size",
             "stage3_param_persistence_threshold", "stage3_model_persistence_threshold", "stage3_module_granularity_threshold",
             "stage3_partition_stream_chunk_size"},
            kInteger, gather);
  // DeepSpeed knows these without their prefix too.
  IgnoreAll(table, zero,
            {"max_live_parameters", "max_reuse_distance", "prefetch_bucket_size", "param_persistence_threshold",
             "model_persistence_threshold", "module_granularity_threshold"},
            kInteger, gather);
  Ignore(table, zero + ".leaf_module", kObject, gather);
  IgnoreAll(table, zero,
            {"stage3_gather_16bit_weights_on_model_save", "stage3_gather_fp16_weights_on_model_save",
             "gather_16bit_weights_on_model_save"},
            kBoolean, "best_model/ is a whole model at every stage");
  IgnoreAll(table, zero, {"load_from_fp32_weights", "elastic_checkpoint", "pipeline_loading_checkpoint"}, kBoolean,
            "checkpoints hold fp32 masters that any number of ranks and any stage can load");
  IgnoreAll(table, zero,
            {"ignore_unused_parameters", "memory_efficient_linear", "override_module_apply", "log_trace_cache_warnings",
             "enable_sanity_checks", "save_muon_momentum_buffer_in_memory"},
            kBoolean, "it tunes DeepSpeed's hooks on Python modules, and there are none");
  const std::string plus = "ZeRO++ and MiCS aren't built; take it out";
  Only(table, zero + ".zero_hpz_partition_size", kInteger, {1}, plus);
  for (const char* key : {"zero_quantized_weights", "zero_quantized_nontrainable_weights", "zero_quantized_gradients",
                          "mics_hierarchical_params_gather"}) {
    Only(table, absl::StrCat(zero, ".", key), kBoolean, {false}, plus);
  }
  Only(table, zero + ".mics_shard_size", kInteger, {-1}, plus);
  Refuse(table, zero + ".zeropp_loco_param", plus);
  Refuse(table, zero + ".zenflow", "ZenFlow isn't built; take it out");
  Ignore(table, "zero_allow_untested_optimizer", kBoolean, "AdamW works at every stage");
}

void AddOptimizer(Table& table) {
  const std::string params = "optimizer.params.";
  Map(table, "optimizer.type", kText, "spec.train.optimizer",
      "AdamW or Adam, which DeepSpeed runs as AdamW too; take the section out for the others");
  Ignore(table, "optimizer.legacy_fusion", kBoolean, "AdamW runs fused");
  Map(table, params + "lr", kNumber, "spec.train.learning_rate");
  Map(table, params + "weight_decay", kNumber, "spec.train.weight_decay");
  Only(table, params + "betas", kNumberList, {json::array({0.9, 0.999})},
       "AdamW has betas [0.9, 0.999] here; use these or \"auto\"");
  Only(table, params + "eps", kNumber, {1e-8}, "AdamW has eps 1e-8 here; use that or \"auto\"");
  Only(table, params + "bias_correction", kBoolean, {true}, "AdamW corrects its bias here; take it out");
  for (const char* key : {"optimizer.adam_w_mode", "optimizer.params.adam_w_mode"}) {
    Only(table, key, kBoolean, {true}, "weight decay is decoupled here (AdamW); take it out");
  }
  Only(table, params + "amsgrad", kBoolean, {false}, "AMSGrad isn't built; take it out");
  IgnoreAll(table, "optimizer.params", {"torch_adam", "fused"}, kBoolean, "AdamW runs fused");
}

void AddScheduler(Table& table) {
  const std::string params = "scheduler.params.";
  Map(table, "scheduler.type", kText, "spec.train.lr_scheduler_type",
      "WarmupCosineLR; the others aren't built: take the section out, and the job warms up by train.warmup_ratio and follows a "
      "cosine down to 0");
  const std::string share =
      "as warmup_num_steps / total_num_steps; how many steps there are follows from the data and train.num_train_epochs";
  Map(table, params + "warmup_num_steps", kInteger, "spec.train.warmup_ratio", share);
  Map(table, params + "total_num_steps", kInteger, "spec.train.warmup_ratio", share);
  Map(table, params + "warmup_max_lr", kNumber, "spec.train.learning_rate");
  Only(table, params + "warmup_min_lr", kNumber, {0}, "warm-up begins at 0; use that or \"auto\"");
  Only(table, params + "warmup_min_ratio", kNumber, {0}, "warm-up begins at 0; use that or \"auto\"");
  Only(table, params + "cos_min_ratio", kNumber, {0}, "the cosine ends at 0; use that or \"auto\"");
  Only(table, params + "warmup_type", kText, {"linear"}, "warm-up is linear; use that or \"auto\"");
  Only(table, params + "last_batch_iteration", kInteger, {-1}, "a resumed job knows its step; take it out");
}

void AddMemory(Table& table) {
  const std::string checkpointing = "model.gradient_checkpointing decides, layer by layer";
  const std::string section = "activation_checkpointing";
  IgnoreAll(table, section,
            {"partition_activations", "cpu_checkpointing", "contiguous_memory_optimization", "synchronize_checkpoint_boundary",
             "profile"},
            kBoolean, checkpointing);
  Ignore(table, section + ".number_checkpoints", kInteger, checkpointing);
  const std::string scaled = "gradients are summed and divided once, without a choice of order";
  Ignore(table, "prescale_gradients", kBoolean, scaled);
  Ignore(table, "gradient_predivide_factor", kNumber, scaled);
  Ignore(table, "sparse_gradients", kBoolean, "gradients of embeddings travel dense");
  Ignore(table, "disable_allgather", kBoolean, "each stage has one schedule of collectives");
  Ignore(table, "checkpoint.load_universal", kBoolean, "checkpoints load at any number of ranks and any stage");
  Ignore(table, "checkpoint.use_node_local_storage", kBoolean, "checkpoints go to output_dir");
  Ignore(table, "checkpoint.tag_validation", kText, "the coordinator commits a checkpoint whole or not at all");
  Ignore(table, "checkpoint.parallel_write", kObject, "every rank writes its own part");
  Ignore(table, "graph_harvesting", kBoolean, "no CUDA graphs are captured");
  Ignore(table, "compile", kObject, "there is no Python to compile");
}

void AddReports(Table& table) {
  const std::string progress = "progress goes by train.logging_steps";
  Ignore(table, "steps_per_print", kInteger, progress);
  const std::string timings = "the seconds of every step's parts are measured always (pixelrec_step_duration_seconds)";
  Ignore(table, "wall_clock_breakdown", kBoolean, timings);
  Ignore(table, "memory_breakdown", kBoolean, "the trainer's memory is measured always (pixelrec_device_memory_bytes)");
  for (const char* key : {"flops_profiler", "comms_logger", "comms_config", "timers"}) Ignore(table, key, kObject, timings);
  Ignore(table, "dump_state", kBoolean, "pixelrecctl describe shows the job whole");
  Ignore(table, "tensorboard", kObject, "TensorBoard files are written in logs/ always");
  for (const char* key : {"monitor_config", "wandb", "comet", "csv_monitor"}) {
    Ignore(table, key, kObject, "curves go to TensorBoard files, metrics.jsonl and Prometheus");
  }
}

void AddOtherFeatures(Table& table) {
  Off(table, "elasticity", "use distributed.min_workers and distributed.max_workers, and take the section out");
  Off(table, "autotuning", "autotuning isn't built; take the section out");
  Off(table, "hybrid_engine", "the hybrid engine isn't built; take the section out");
  Off(table, "nebula", "checkpoints are staged by the trainer itself; take the section out");
  const std::string changes = "it changes what is learned and isn't built; take the section out";
  for (const char* key :
       {"data_efficiency", "curriculum_learning", "progressive_layer_drop", "eigenvalue", "quantize_training"}) {
    Off(table, key, changes);
  }
  Refuse(table, "compression_training", changes);
  Refuse(table, "sparse_attention", changes);
  const std::string parallel = "only data is parallel here; take it out";
  Refuse(table, "pipeline", parallel);
  Refuse(table, "tensor_parallel", parallel);
  Refuse(table, "expert_parallel", parallel);
  Only(table, "sequence_parallel_size", kInteger, {1}, parallel);
  Ignore(table, "use_data_before_expert_parallelism", kBoolean, "there are no experts");
  Ignore(table, "vocabulary_size", kInteger, "the models' config.json says it");
}

std::string Harmless(const DeepSpeedKey& key) {
  if (key.harmless.empty()) return "";
  if (key.type == kObject) return "accepted: `\"enabled\": false`. ";
  return absl::StrCat(
      "accepted: ",
      absl::StrJoin(key.harmless, ", ",
                    [](std::string* out, const json& value) { absl::StrAppend(out, "`", DisplayValue(value), "`"); }),
      ". ");
}

}  // namespace

const std::vector<DeepSpeedKey>& DeepSpeedKeys() {
  static const Table* const table = [] {
    auto* keys = new Table;
    AddBatch(*keys);
    AddPrecision(*keys);
    AddZero(*keys);
    AddOffload(*keys);
    AddOptimizer(*keys);
    AddScheduler(*keys);
    AddMemory(*keys);
    AddReports(*keys);
    AddOtherFeatures(*keys);
    return keys;
  }();
  return *table;
}

const DeepSpeedKey* FindDeepSpeedKey(absl::string_view path) {
  const Table& keys = DeepSpeedKeys();
  const auto found = std::find_if(keys.begin(), keys.end(), [&](const DeepSpeedKey& key) { return key.path == path; });
  return found == keys.end() ? nullptr : &*found;
}

std::string DeepSpeedKeyTable() {
  std::string text = "| key | treatment | meaning |\n|---|---|---|\n";
  for (const DeepSpeedKey& key : DeepSpeedKeys()) {
    absl::StrAppend(&text, "| `", key.path, "` | ");
    if (key.treatment == kMapped) {
      absl::StrAppend(&text, "mapped | `", absl::StripPrefix(key.target, "spec."), "`", key.why.empty() ? "" : "; ", key.why);
    } else if (key.treatment == kNoEffect) {
      absl::StrAppend(&text, "accepted, no effect | because ", key.why);
    } else {
      absl::StrAppend(&text, "refused | ", Harmless(key), key.harmless.empty() ? "" : "Else: ", key.why);
    }
    absl::StrAppend(&text, " |\n");
  }
  return text;
}

}  // namespace pixelrec::config
