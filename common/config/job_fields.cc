#include "common/config/job_fields.h"

#include <utility>

#include "absl/strings/match.h"

namespace pixelrec::config {
namespace {

using nlohmann::json;
using enum FieldType;

constexpr int64_t kMaxInt32 = 2147483647;

Field String(std::string path, json value, std::string doc) {
  return MakeField(kString, std::move(path), std::move(value), std::move(doc));
}
Field Path(std::string path, std::string doc) { return MakeField(kPath, std::move(path), nullptr, std::move(doc)); }
Field Bool(std::string path, json value, std::string doc) {
  return MakeField(kBoolean, std::move(path), std::move(value), std::move(doc));
}
Field Number(std::string path, json value, std::string doc) {
  return MakeField(kNumber, std::move(path), std::move(value), std::move(doc));
}
Field Int(std::string path, json value, std::string doc) {
  return MakeField(kInteger, std::move(path), std::move(value), std::move(doc)).AtMost(kMaxInt32);
}
Field Enum(std::string path, json value, std::vector<std::string> values, std::string doc) {
  return MakeField(kEnum, std::move(path), std::move(value), std::move(doc)).OneOf(std::move(values));
}

void AddHead(std::vector<Field>& table) {
  table.push_back(Enum("apiVersion", "pixelrec/v1", {"pixelrec/v1"}, "Version of this format."));
  table.push_back(
      Enum("kind", "TrainingJob", {"TrainingJob", "Evaluate"},
           "TrainingJob: train, then evaluate. Evaluate: only rank the targets, with the weights of model.init_from."));
  table.push_back(String("metadata.name", nullptr, "Name of the job; commands take it in place of the id.")
                      .Required()
                      .Matching("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
                                "must be 1-63 characters of a-z, 0-9 and '-', not starting or ending with '-'"));
  table.push_back(MakeField(kStringMap, "metadata.labels", json::object(), "Free key: value pairs, shown by describe."));
}

void AddData(std::vector<Field>& table) {
  table.push_back(
      Path("spec.data.interaction_data",
           "CSV with the columns user_id, item_id and optionally timestamp, found by header name. Relative paths are relative "
           "to this file.")
          .Required());
  table.push_back(Path("spec.data.text_data", "CSV with the column item_id and one column per text key.").Required());
  table.push_back(MakeField(kStringList, "spec.data.text_keys", json::array({"title", "description"}),
                            "Columns of text_data that make an item's text, in this order; a list or \"title,description\".")
                      .CommaSeparated()
                      .NonEmpty());
  table.push_back(
      String("spec.data.item_prompt", "Compress the following sentence into embedding: ", "Put before every item's text."));
  table.push_back(Int("spec.data.max_seq_length", 11, "Items per training sequence.").AtLeast(2).AtMost(65536));
  table.push_back(Int("spec.data.max_text_length", 256, "Tokens per item text; longer ones are cut.").AtLeast(1).AtMost(1048576));
  table.push_back(Path("spec.data.item_data", "CSV whose item_id column comes first in the item vocabulary.").Nullable());
  table.push_back(
      Bool("spec.data.cold_items", false, "Items that only text_data has become candidates of evaluation and of recommend."));
  table.push_back(Bool("spec.data.data_split", true,
                       "Cut long histories into sequences of max_seq_length; false: one sequence per user, the newest items."));
}

void AddModel(std::vector<Field>& table) {
  table.push_back(Path("spec.model.item_model_dir",
                       "Hugging Face model directory (config.json, *.safetensors, tokenizer) of the LLM that reads item texts.")
                      .Required());
  table.push_back(
      Path("spec.model.user_model_dir", "Model directory of the LLM that reads a user's sequence of items.").Required());
  table.push_back(Int("spec.model.item_emb_token_n", 1,
                      "1: a learned token behind each item's text gives its embedding; 0: the mean over the text's tokens does.")
                      .AtLeast(0)
                      .AtMost(1));
  table.push_back(Bool("spec.model.item_llm_init", true,
                       "Start the item LLM from its directory's weights; false: from random ones, by config.json and the seed."));
  table.push_back(Bool("spec.model.user_llm_init", true, "The same for the user LLM."));
  table.push_back(Bool("spec.model.gradient_checkpointing", true,
                       "Recompute a layer's activations in the backward pass: less memory, about a third more time."));
  table.push_back(
      Path("spec.model.init_from",
           "Start from the weights of another HLLM: best_model/, checkpoint-epoch-N/, the reference's pytorch_model.bin "
           "or safetensors file, or a DeepSpeed checkpoint.")
          .Nullable());
  table.push_back(MakeField(kStringList, "spec.model.freeze", json::array(), "Parts that are not trained: item_llm, user_llm.")
                      .CommaSeparated()
                      .Matching("item_llm|user_llm", "must be item_llm or user_llm"));
}

void AddTrain(std::vector<Field>& table) {
  table.push_back(Int("spec.train.per_device_train_batch_size", 4, "Users per rank and micro-step.").AtLeast(1));
  table.push_back(Int("spec.train.global_batch_size", nullptr,
                      "Users per optimiser step; null: per_device_train_batch_size x workers x gradient_accumulation_steps.")
                      .Nullable()
                      .AtLeast(1));
  table.push_back(Int("spec.train.gradient_accumulation_steps", 1,
                      "Micro-steps per optimiser step; follows from global_batch_size where that is given.")
                      .AtLeast(1));
  table.push_back(
      Bool("spec.train.grad_cache", false,
           "GradCache: the negatives of all micro-steps serve every user of the step, for a second forward pass of the "
           "item LLM; false: each micro-step has its own."));
  table.push_back(Int("spec.train.num_train_epochs", 5, "Passes over the training data.").AtLeast(1));
  table.push_back(Number("spec.train.learning_rate", 1e-4, "Peak learning rate.").MoreThan(0));
  table.push_back(Enum("spec.train.optimizer", "adamw", {"adamw"}, "AdamW with betas 0.9 and 0.999, epsilon 1e-8."));
  table.push_back(Enum("spec.train.lr_scheduler_type", "cosine", {"cosine"}, "Linear warm-up, then a cosine down to 0."));
  table.push_back(Number("spec.train.warmup_ratio", 0.1, "Share of all steps that warm up.").AtLeast(0).AtMost(1));
  table.push_back(Number("spec.train.weight_decay", 0.01, "Decoupled weight decay.").AtLeast(0));
  table.push_back(Number("spec.train.max_grad_norm", 1.0, "Gradients are clipped to this global norm.").MoreThan(0));
  table.push_back(Int("spec.train.num_negatives", nullptr,
                      "Negatives per step: null draws max_seq_length per sample, K draws K for the whole batch.")
                      .Nullable()
                      .AtLeast(1));
  table.push_back(Bool("spec.train.bf16", true,
                       "Compute in bf16 where every rank's hardware has it; elsewhere the job says so and runs fp32."));
  table.push_back(MakeField(kInteger, "spec.train.seed", 42, "Seed of sample order and negatives.").AtLeast(0));
  table.push_back(
      Int("spec.train.dataloader_num_workers", 2, "Threads that prepare batches ahead of the step.").AtLeast(0).AtMost(256));
  table.push_back(Int("spec.train.logging_steps", 10, "Steps between two progress records.").AtLeast(1));
  table.push_back(
      MakeField(kNumberMap, "spec.train.lr_mult_prefix", json::object(), "Learning-rate factor by parameter-name prefix.")
          .AtLeast(0));
  table.push_back(Int("spec.train.max_nonfinite_steps", 5, "Non-finite steps in a row after which the job fails.").AtLeast(1));
  table.push_back(Int("spec.train.max_collapsed_steps", 50,
                      "Steps in a row without a negative left (all embeddings alike) after which the job fails; 0: only warn.")
                      .AtLeast(0));
  table.push_back(String("spec.train.early_stopping.metric", "validation_loss",
                         "What early stopping looks at: validation_loss, or recall@K or ndcg@K for a K of evaluation.k.")
                      .Matching("validation_loss|(recall|ndcg)@[1-9][0-9]*", "must be validation_loss, recall@K or ndcg@K"));
  table.push_back(Int("spec.train.early_stopping.patience", nullptr,
                      "Evaluated epochs in a row without a better value after which training ends; null: never early.")
                      .Nullable()
                      .AtLeast(1));
  table.push_back(Bool("spec.train.profile", false, "Write a profile of the training steps.")
                      .OnlyNow({false}, "profiling is not built yet; leave it out"));
}

// The reference's rules one by one; null: as numerics says.
void AddCompat(std::vector<Field>& table) {
  auto rule = [&](std::string name, std::string doc) {
    table.push_back(Bool("spec.compat." + std::move(name), nullptr, std::move(doc)).Nullable());
  };
  rule("columns_by_position",
       "Reference rule D1: the last three columns of interaction_data are item, user, time, whatever the header.");
  rule("pandas_values", "Reference rule X2: NA, null, nan and the like are missing; numbers print as Python prints them (5.0).");
  rule("encode_empty_texts", "Reference rule X3: an item without text is the encoding of the empty text.");
  rule("random_left_slots", "Reference rule T1: random items fill the left of short sequences; no loss depends on them.");
  rule("padded_negatives", "Reference rule T3: only the first length - 1 negatives of a sequence avoid its items.");
  rule("num_negatives_per_sample", "Reference rule T4: num_negatives / (ranks x batch), rounded up, for each sequence.");
  rule("reference_sampler", "Reference rule T5: strided ranks, padded by repetition, one random stream for all epochs.");
  rule("bf16_rounding", "Reference rules P1, P2, N1: weights, activations, logits and loss rounded to bf16, fp32 masters.");
  rule("mean_per_rank", "Reference rule N5: the mean of the ranks' mean losses, whatever their numbers of rows.");
  rule("no_clipping", "Reference rule O2: max_grad_norm is not applied.");
  rule("best_by_ndcg", "Reference rule O5: best_model/ and early stopping by NDCG at the largest k; as good counts as better.");
  rule("bf16_scores", "Reference rule V3: evaluation scores in bf16, which tie.");
  rule("decay_unread", "Reference rule M6: tensors that nothing reads are written as far decayed as AdamW would have them.");
}

void AddRest(std::vector<Field>& table) {
  table.push_back(Int("spec.distributed.workers", 1, "Workers (ranks): sets whichever of min_workers and max_workers is absent.")
                      .AtLeast(1)
                      .AtMost(1024));
  table.push_back(Int("spec.distributed.min_workers", nullptr, "The job starts when this many workers are idle; null: workers.")
                      .Nullable()
                      .AtLeast(1)
                      .AtMost(1024));
  table.push_back(Int("spec.distributed.max_workers", nullptr, "Never more workers than this; null: workers.")
                      .Nullable()
                      .AtLeast(1)
                      .AtMost(1024));
  table.push_back(
      Enum("spec.distributed.backend", "auto", {"auto", "gloo", "nccl"},
           "Collectives: auto takes NCCL where every worker has a GPU, else Gloo; with NCCL ranks compute on their GPUs."));
  table.push_back(Enum("spec.distributed.offload_optimizer", "none", {"none", "cpu"},
                       "cpu: master weights and moments of a rank on a GPU lie in host memory, where the optimiser runs too."));
  table.push_back(
      Int("spec.distributed.zero_stage", 0,
          "ZeRO stage: what is sharded over the ranks. 0: nothing, 1: optimiser state, 2: gradients too, 3: weights too.")
          .AtLeast(0)
          .AtMost(3));
  table.push_back(Int("spec.distributed.item_zero_stage", nullptr, "The same for the item LLM alone; null: zero_stage.")
                      .Nullable()
                      .AtLeast(0)
                      .AtMost(3));
  table.push_back(Int("spec.distributed.user_zero_stage", nullptr, "The same for the user LLM alone; null: zero_stage.")
                      .Nullable()
                      .AtLeast(0)
                      .AtMost(3));
  table.push_back(
      Path("spec.distributed.deepspeed_config",
           "DeepSpeed JSON file: its stage, batch sizes, precision, optimizer and scheduler, as if they stood here; \"auto\" "
           "leaves what stands here (docs/deepspeed.md).")
          .Nullable());
  table.push_back(Int("spec.evaluation.every_epochs", 1, "Epochs between two evaluations.").AtLeast(1));
  table.push_back(
      MakeField(kIntegerList, "spec.evaluation.k", json::array({5, 10, 50, 200}), "Cut-offs of Recall@k and NDCG@k, ascending.")
          .NonEmpty()
          .AtLeast(1)
          .AtMost(100000));
  table.push_back(
      Int("spec.checkpoint.every_steps", 500, "Steps between two recovery checkpoints; 0: none by steps.").AtLeast(0));
  table.push_back(
      Int("spec.checkpoint.every_seconds", 600, "Seconds between two recovery checkpoints; 0: none by time.").AtLeast(0));
  table.push_back(
      Int("spec.checkpoint.keep", 2, "Recovery checkpoints kept. Epoch checkpoints all stay.").AtLeast(1).AtMost(1000));
  table.push_back(Enum("spec.numerics", "exact", {"exact", "compat"},
                       "exact: fp32 loss and evaluation; compat: the reference's rounding points and quirks (slow on a CPU)."));
  AddCompat(table);
  table.push_back(Int("spec.scheduling.priority", 50, "0-100, higher first.").AtLeast(0).AtMost(100));
  table.push_back(
      Int("spec.scheduling.max_restarts.user", 0, "Restarts after errors of the job itself (data, model, memory); -1: no limit.")
          .AtLeast(-1));
  table.push_back(
      Int("spec.scheduling.max_restarts.infrastructure", 20, "Restarts after a lost worker or a killed trainer.").AtLeast(-1));
  table.push_back(Int("spec.scheduling.max_restarts.preemption", -1,
                      "Restarts after a job of higher priority took the workers; -1: no limit.")
                      .AtLeast(-1));
  constexpr int64_t kSecond = 1000, kYear = int64_t{365} * 24 * 3600 * kSecond;
  table.push_back(MakeField(kDuration, "spec.scheduling.time_limit", nullptr,
                            "Training time (\"2h\") after which the job stops with a checkpoint and has failed; null: none.")
                      .Nullable()
                      .AtLeast(kSecond)
                      .AtMost(kYear));
  table.push_back(Path("spec.output_dir", "Receives checkpoint-epoch-N/, best_model/ and logs/.").Required());
  table.push_back(
      Enum("spec.output_policy", "new", {"new", "resume", "replace"},
           "For an output_dir that holds a job's results: new refuses it, resume continues from its newest checkpoint, "
           "replace removes them."));
}

}  // namespace

const std::vector<Field>& JobFields() {
  static const std::vector<Field>* const table = [] {
    auto* fields = new std::vector<Field>;
    AddHead(*fields);
    AddData(*fields);
    AddModel(*fields);
    AddTrain(*fields);
    AddRest(*fields);
    return fields;
  }();
  return *table;
}

std::string SpecPath(const Field& field) {
  for (const char* prefix : {"spec.", "metadata."}) {
    if (absl::StartsWith(field.path, prefix)) return field.path.substr(absl::string_view(prefix).size());
  }
  return field.path == "apiVersion" ? "" : field.path;
}

}  // namespace pixelrec::config
