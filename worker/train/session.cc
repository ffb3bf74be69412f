#include "worker/train/session.h"

#include <ATen/Parallel.h>
#include <ATen/ops/tensor.h>

#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/checkpoint/digest.h"
#include "worker/dist/device.h"
#include "worker/train/artifacts.h"
#include "worker/train/batch_options.h"
#include "worker/train/compute_type.h"
#include "worker/train/disk_room.h"
#include "worker/train/failure.h"
#include "worker/train/hllm_parameters.h"
#include "worker/train/init_from.h"
#include "worker/train/output_folder.h"
#include "worker/train/parameter_groups.h"
#include "worker/train/peers.h"
#include "worker/train/run_settings.h"

namespace pixelrec::train {
namespace {

// docs/adr/0007: an item without tokens has no mean.
absl::Status CheckEveryItemHasText(const data::Dataset& dataset) {
  int64_t without = 0;
  absl::string_view first;
  for (uint32_t item = 1; item <= dataset.num_items(); ++item) {
    if (dataset.tokens(item).empty() && without++ == 0) first = dataset.item_name(item);
  }
  if (without == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("item_emb_token_n: 0 takes the mean over an item's tokens, and ", without,
                                                 " of ", dataset.num_items(), " items have none, the first is ", first));
}

absl::Status OpenData(Session& s) {
  auto dataset = data::Dataset::Open(s.job.dataset_dir);
  if (!dataset.ok())
    return WithKind(dataset.status(), FailureKind::kBadData, "remove the prepared dataset; it is made again from the CSV files");
  s.dataset = *std::move(dataset);
  if (s.job.item_emb_token_n == 0) {
    if (auto status = CheckEveryItemHasText(*s.dataset); !status.ok())
      return WithKind(status, FailureKind::kBadData, "add these items to text_data, or use item_emb_token_n: 1");
  }
  s.batches = BatchOptionsOf(s.job);
  s.steps_per_epoch = data::StepsPerEpoch(*s.dataset, s.batches);
  s.total_steps = s.steps_per_epoch * s.job.epochs;
  return absl::OkStatus();
}

absl::Status CheckEncoders(const Session& s) {
  if (s.user_config.is_encoder()) {
    return absl::UnimplementedError(absl::StrCat("user_model_dir: a ", s.user_config.model_type,
                                                 " is an encoder; supported: decoders, which read a history in order"));
  }
  if (!s.item_config.is_encoder()) return absl::OkStatus();
  if (s.job.item_emb_token_n != 0) {
    return absl::UnimplementedError(absl::StrCat("item_model_dir: a ", s.item_config.model_type,
                                                 " is an encoder, with item_emb_token_n ", s.job.item_emb_token_n,
                                                 "; supported: item_emb_token_n: 0, the mean over a text's tokens"));
  }
  if (s.dataset->max_text_length() > s.item_config.longest_sequence()) {
    return absl::InvalidArgumentError(absl::StrCat("max_text_length ", s.dataset->max_text_length(), " is more than the ",
                                                   s.item_config.longest_sequence(), " positions of ",
                                                   s.job.item_model_dir.string()));
  }
  return absl::OkStatus();
}

absl::Status CheckModelsFit(const Session& s) {
  if (auto status = CheckEncoders(s); !status.ok()) return status;
  if (s.item_config.hidden_size != s.user_config.hidden_size) {
    return absl::InvalidArgumentError(absl::StrCat("item_model_dir has hidden_size ", s.item_config.hidden_size,
                                                   ", user_model_dir ", s.user_config.hidden_size,
                                                   ": the user LLM reads the item LLM's embeddings, so they must be equal"));
  }
  if (s.dataset->vocab_size() > s.item_config.vocab_size) {
    return absl::InvalidArgumentError(absl::StrCat("the tokenizer in ", s.job.item_model_dir.string(), " has ",
                                                   s.dataset->vocab_size(), " ids, the model's vocab_size is ",
                                                   s.item_config.vocab_size));
  }
  return absl::OkStatus();
}

// From the directories' weights, or from none (rule F3).
absl::Status FillSides(Session& s, WorkerLink& link) {
  for (const auto& [side, dir, config, read] :
       {std::tuple("item_llm", &s.job.item_model_dir, &s.item_config, s.job.item_llm_init),
        std::tuple("user_llm", &s.job.user_model_dir, &s.user_config, s.job.user_llm_init)}) {
    if (!read) {
      InitializeSide(*config, side, s.job.seed, *s.parameters);
      continue;
    }
    auto unused = LoadSide(*dir, *config, side, *s.parameters);
    if (!unused.ok()) return unused.status();
    if (!unused->empty() && s.is_rank_zero()) {
      link.Notice(false, absl::StrCat(dir->string(), ": tensors that the model doesn't use: ", absl::StrJoin(*unused, ", ")));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadModels(Session& s) {
  for (auto [dir, config] :
       {std::pair(&s.job.item_model_dir, &s.item_config), std::pair(&s.job.user_model_dir, &s.user_config)}) {
    auto read = checkpoint::ReadDecoderConfig(*dir);
    if (!read.ok()) return read.status();
    *config = *std::move(read);
  }
  return CheckModelsFit(s);
}

// All ranks compute alike, so each needs to know what the others' hardware can do.
ComputeType AgreeOnComputeType(const Session& s, WorkerLink& link) {
  const bool mine = s.device.is_cuda() ? dist::GpuHasBf16(s.device) : !s.job.hardware.bf16_instructions.empty();
  const at::Tensor with_bf16 = at::tensor({mine ? 1 : 0}, at::kLong);
  s.group.AllReduceSum(with_bf16);
  const ComputeChoice choice = ChooseComputeType(s.job, static_cast<int>(with_bf16.item<int64_t>()));
  if (!choice.notice.empty() && s.is_rank_zero()) link.Notice(false, choice.notice);
  return choice.type;
}

absl::Status MakeParameters(Session& s, ComputeType compute, WorkerLink& link) {
  s.parameters = std::make_unique<dist::FlatParameters>(
      HllmUnits(s.item_config, s.user_config, s.job.item_emb_token_n, s.job.item_zero_stage, s.job.user_zero_stage),
      at::TensorOptions(at::kFloat).device(s.device), RoundingOf(compute, s.job.compat),
      dist::FlatParameters::Sharding{
          .rank = s.job.rank, .world_size = s.job.world_size, .masters_on_host = s.job.offload_optimizer && !s.device.is_cpu()});
  if (auto status = FillSides(s, link); !status.ok()) return status;
  InitializeHead(s.job.seed, *s.parameters);
  for (const std::string& side : s.job.freeze) s.parameters->Freeze(side + ".");
  auto groups = GroupParameters(*s.parameters, s.job.freeze, s.job.lr_mult_prefix);
  if (!groups.ok()) return groups.status();
  s.optimizer = std::make_unique<AdamW>(*s.parameters, *groups, AdamW::Options{.weight_decay = s.job.weight_decay});
  s.position.unread = UnreadDecay(s.job, s.item_config);
  return absl::OkStatus();
}

// The model over its units, wherever they are (hllm.md 4.1).
void BuildModel(Session& s) {
  s.exchange = std::make_unique<dist::UnitExchange>(*s.parameters, s.unit_group);
  const auto item_layers = static_cast<size_t>(s.item_config.num_hidden_layers);
  s.item_schedule = std::make_unique<SideSchedule>(*s.exchange, 1, true);
  s.user_schedule = std::make_unique<SideSchedule>(*s.exchange, 1 + item_layers, false);
  s.hllm =
      std::make_unique<model::Hllm>(model::Hllm::Options{.item_llm = Describe(s.item_config),
                                                         .user_llm = Describe(s.user_config),
                                                         .max_text_length = s.dataset->max_text_length(),
                                                         .max_seq_length = s.dataset->max_seq_length(),
                                                         .item_emb_token_n = s.job.item_emb_token_n,
                                                         .gradient_checkpointing = s.job.gradient_checkpointing,
                                                         .composed_ops = s.job.compat.bf16_rounding,
                                                         .item_schedule = s.item_schedule.get(),
                                                         .user_schedule = s.user_schedule.get()},
                                    LeafWeights(*s.parameters, s.item_config.num_hidden_layers, s.user_config.num_hidden_layers));
}

// Rank 0 decides about output_dir before anybody writes there; the others learn where to resume.
absl::Status ClaimOutput(Session& s, WorkerLink& link) {
  std::string resume_from = s.job.resume_from;
  absl::Status claimed;
  if (s.is_rank_zero()) {
    auto claim = ClaimOutputFolder(s.job.output_dir, s.job.job_id, s.job.output_policy);
    claimed = claim.status();
    if (claim.ok()) {
      for (const std::string& notice : claim->notices) link.Notice(false, notice);
      // What the coordinator knows to be committed is newer than anything found in the folder.
      s.adopts_output = resume_from.empty() && !claim->resume_from.empty();
      if (s.adopts_output) resume_from = claim->resume_from;
    }
  }
  if (!claimed.ok()) return claimed;
  s.job.resume_from = s.group.Broadcast(resume_from);
  return absl::OkStatus();
}

// Without room for even one checkpoint nothing of a training would stay. One that goes on has some already, and waits for room.
absl::Status CheckRoomToBegin(const Session& s) {
  if (s.job.evaluate_only || !s.job.resume_from.empty()) return absl::OkStatus();
  return WithKind(CheckRoomForCheckpoint(s), FailureKind::kOutputUnwritable,
                  "free space on the volume of output_dir, or give the job an output_dir on another");
}

// Where training begins: at a checkpoint of this job, else at init_from's weights, else at those of the model directories.
absl::Status LoadPosition(Session& s, WorkerLink& link) {
  if (!s.job.resume_from.empty()) {
    if (auto status = RestoreCheckpoint(s); !status.ok()) return status;
    if (s.is_rank_zero()) {
      link.Notice(
          false, absl::StrCat("continuing from ", s.job.resume_from.string(), ", step ", s.position.step, " of ", s.total_steps));
      // Nothing is lost, since masters and moments are fp32 either way; but the steps round otherwise.
      if (!s.position.compute_type.empty() && s.position.compute_type != s.facts.compute_type) {
        link.Notice(false, absl::StrCat("the steps before were computed in ", s.position.compute_type, ", those from here on in ",
                                        s.facts.compute_type));
      }
    }
    return absl::OkStatus();
  }
  if (!s.job.init_from.empty()) {
    auto started = InitFrom(s.job.init_from, *s.parameters);
    if (!started.ok()) return WithKind(started.status(), FailureKind::kBadModel);
    if (s.is_rank_zero()) link.Notice(false, *started);
  }
  if (s.job.compat.bf16_rounding) s.parameters->RoundMasters();
  FollowMasters(*s.exchange, *s.parameters, s.job.compat);
  return absl::OkStatus();
}

std::string GradCacheNotice(const TrainJob& job) {
  if (job.micro_batch_size >= job.global_batch_size) return "grad_cache: a step is one micro-step, so nothing is cached";
  return absl::StrCat("grad_cache: the negatives of all ", job.global_batch_size,
                      " users of a step serve each of them; items are ", "encoded twice, ", job.micro_batch_size,
                      " users' at a time, and counted once");
}

absl::Status CollectFacts(Session& s, ComputeType compute) {
  auto item = checkpoint::DigestFile(s.job.item_model_dir / "config.json");
  if (!item.ok()) return item.status();
  auto user = checkpoint::DigestFile(s.job.user_model_dir / "config.json");
  if (!user.ok()) return user.status();
  s.facts.program_version = PIXELREC_VERSION;
  s.facts.job_name = s.job.job_name;
  s.facts.job_id = s.job.job_id;
  s.facts.world_size = s.job.world_size;
  s.facts.generation = s.job.generation;
  s.facts.seed = s.job.seed;
  s.facts.global_batch_size = s.job.global_batch_size;
  s.facts.total_steps = s.total_steps;
  s.facts.data_hash = s.dataset->data_hash();
  s.facts.item_config_digest = item->xxh3;
  s.facts.user_config_digest = user->xxh3;
  s.facts.compute_type = NameOf(compute);
  s.facts.settings = SettingsOf(s.job);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Session>> OpenSession(const TrainJob& job, WorkerLink& link) {
  auto session = std::make_unique<Session>();
  session->job = job;
  session->whereabouts = std::make_unique<dist::Whereabouts>(
      dist::Whereabouts::Options{.publish = [&link](const dist::Whereabouts::Place& place) { link.At(place); }});
  if (job.threads > 0) at::set_num_threads(job.threads);
  link.Progress({.epochs = job.epochs, .section = "load", .section_fraction = 0});
  if (auto status = OpenData(*session); !status.ok()) return status;
  if (auto status = ReadModels(*session); !status.ok()) return WithKind(status, FailureKind::kBadModel);
  if (auto status = MeetPeers(*session, link); !status.ok()) return WithKind(status, FailureKind::kCollective);
  const ComputeType compute = AgreeOnComputeType(*session, link);
  if (auto status = MakeParameters(*session, compute, link); !status.ok()) return WithKind(status, FailureKind::kBadModel);
  if (auto status = CollectFacts(*session, compute); !status.ok()) return WithKind(status, FailureKind::kBadModel);
  BuildModel(*session);
  if (auto status = ClaimOutput(*session, link); !status.ok()) return status;
  if (auto status = CheckRoomToBegin(*session); !status.ok()) return status;
  if (auto status = LoadPosition(*session, link); !status.ok()) return status;
  if (job.grad_cache && !job.evaluate_only && session->is_rank_zero()) link.Notice(false, GradCacheNotice(job));
  return session;
}

}  // namespace pixelrec::train
