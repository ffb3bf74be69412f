#include "worker/tools/golden/golden_case.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/storage/atomic_file.h"
#include "worker/model/hllm.h"

namespace pixelrec::tools {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// A place in case.json. What is missing or of another kind reads as zero or empty, and the first such place is kept as the error.
class Place {
 public:
  Place(const json& value, std::string path, absl::Status& error) : value_(&value), path_(std::move(path)), error_(&error) {}

  bool Has(const char* key) const { return value_->is_object() && value_->contains(key) && !(*value_)[key].is_null(); }
  bool IsNull() const { return value_->is_null(); }

  Place operator[](const char* key) const {
    static const auto* const nothing = new json;
    const std::string path = path_.empty() ? key : absl::StrCat(path_, ".", key);
    if (value_->is_object() && value_->contains(key)) return {(*value_)[key], path, *error_};
    Fail(path, "is missing");
    return {*nothing, path, *error_};
  }

  std::string Text() const { return Check(value_->is_string(), "a string") ? value_->get<std::string>() : ""; }
  double Number() const { return Check(value_->is_number(), "a number") ? value_->get<double>() : 0; }
  int64_t Count(int64_t low = 0, int64_t high = std::numeric_limits<int32_t>::max()) const {
    if (!Check(value_->is_number_integer(), "a whole number")) return low;
    const auto count = value_->get<int64_t>();
    if (count < low || count > high) Fail(path_, absl::StrCat("must lie between ", low, " and ", high));
    return count;
  }
  std::vector<Place> List() const {
    std::vector<Place> places;
    if (!Check(value_->is_array(), "a list")) return places;
    for (size_t i = 0; i < value_->size(); ++i) places.emplace_back((*value_)[i], absl::StrCat(path_, "[", i, "]"), *error_);
    return places;
  }
  std::map<std::string, double> Numbers() const {
    std::map<std::string, double> numbers;
    if (!Check(value_->is_object(), "an object")) return numbers;
    for (const auto& [key, value] : value_->items()) numbers[key] = Place(value, absl::StrCat(path_, ".", key), *error_).Number();
    return numbers;
  }
  void Fail(absl::string_view path, absl::string_view what) const {
    if (error_->ok()) *error_ = absl::InvalidArgumentError(absl::StrCat(path, ": ", what));
  }
  void Fail(absl::string_view what) const { Fail(path_, what); }

 private:
  bool Check(bool right, absl::string_view kind) const {
    if (!right && error_->ok()) Fail(path_, absl::StrCat("must be ", kind));
    return right;
  }

  const json* value_;
  std::string path_;
  absl::Status* error_;
};

void ReadConfig(const Place& config, const fs::path& dir, GoldenCase& golden) {
  golden.item_model_dir = dir / config["item_model_dir"].Text();
  golden.user_model_dir = dir / config["user_model_dir"].Text();
  golden.interaction_data = dir / config["interaction_data"].Text();
  golden.text_data = dir / config["text_data"].Text();
  for (const Place& key : config["text_keys"].List()) golden.text_keys.push_back(key.Text());
  golden.item_prompt = config["item_prompt"].Text();
  golden.max_text_length = static_cast<int>(config["max_text_length"].Count(1, 1 << 24));
  golden.max_seq_length = static_cast<int>(config["max_seq_length"].Count(2, 1 << 24));
  if (config.Has("item_emb_token_n")) golden.item_emb_token_n = config["item_emb_token_n"].Count(0, 1);
  const std::string numerics = config["numerics"].Text();
  golden.compat = numerics == "compat";
  if (!golden.compat && numerics != "exact") config["numerics"].Fail("must be \"exact\" or \"compat\"");
  if (config["nce_thres"].Number() != model::kNceThreshold) {
    config.Fail("config.nce_thres", absl::StrCat("must be ", model::kNceThreshold, ", the threshold of this program"));
  }
}

void ReadItems(const Place& items, GoldenCase& golden) {
  for (const Place& place : items.List()) {
    GoldenCase::Item item{.id = place["item_id"].Text(), .token_ids = {}};
    for (const Place& id : place["token_ids"].List()) item.token_ids.push_back(static_cast<uint32_t>(id.Count()));
    golden.items.push_back(std::move(item));
  }
}

void ReadBatch(const Place& batch, GoldenCase& golden) {
  for (const Place& place : batch.List()) {
    GoldenCase::Row row;
    for (const Place& item : place["positives"].List()) {
      if (!item.IsNull()) {
        row.positives.push_back(item.Text());
      } else if (!row.positives.empty()) {
        item.Fail("is padding behind an item; positives are right-aligned");
      }
    }
    if (row.positives.size() < 2) place["positives"].Fail("must hold two items or more: one to read and one to predict");
    for (const Place& item : place["negatives"].List()) row.negatives.push_back(item.Text());
    golden.batch.push_back(std::move(row));
  }
  if (golden.batch.empty()) batch.Fail("must hold a row");
}

std::vector<GoldenCase::Chunk> ReadChunks(const Place& place) {
  std::vector<GoldenCase::Chunk> chunks;
  for (const Place& of_user : place.List()) {
    GoldenCase::Chunk chunk{.user = of_user["user_id"].Text(), .items = {}};
    for (const Place& item : of_user["items"].List()) chunk.items.push_back(item.Text());
    chunks.push_back(std::move(chunk));
  }
  return chunks;
}

GoldenCase::Training ReadTraining(const Place& place) {
  GoldenCase::Training training{.total_steps = place["total_steps"].Count(1)};
  for (const Place& point : place["curve"].List()) {
    GoldenCase::Step step{.step = point["step"].Count(), .loss = point["loss"].Number(), .lr = {}, .grad_norm = {}};
    if (point.Has("lr")) {
      step.lr = point["lr"].Number();
      step.grad_norm = point["grad_norm_before_clip"].Number();
    }
    training.curve.push_back(step);
  }
  training.logit_scale_after = place["logit_scale_after"].Number();
  return training;
}

GoldenCase::Evaluation ReadEvaluation(const Place& place) {
  GoldenCase::Evaluation evaluation;
  for (const Place& user : place["users"].List()) {
    GoldenCase::User read{.id = user["user_id"].Text(), .rank = {}, .near = user["within_1e-6"].Count()};
    if (user.Has("rank")) read.rank = user["rank"].Count(1);
    evaluation.users.push_back(std::move(read));
  }
  evaluation.metrics = place["metrics"].Numbers();
  return evaluation;
}

void ReadCase(const Place& root, const fs::path& dir, GoldenCase& golden) {
  ReadConfig(root["config"], dir, golden);
  ReadItems(root["items"], golden);
  ReadBatch(root["batch"], golden);
  const Place loss = root["loss"];
  golden.loss = {.value = loss["value"].Number(),
                 .rows = loss["rows"].Count(1),
                 .filtered_logits = loss["filtered_logits"].Count(),
                 .logit_scale_grad = loss["logit_scale_grad"].Number(),
                 .grad_norm = loss["grad_norm"].Number(),
                 .grad_norms = loss["grad_norms"].Numbers()};
  if (root.Has("chunks")) golden.chunks = ReadChunks(root["chunks"]);
  if (root.Has("training")) golden.training = ReadTraining(root["training"]);
  if (root.Has("evaluation") && golden.compat)
    root.Fail("evaluation", "can't be compared with numerics compat: bf16 scores tie (V6)");
  if (root.Has("evaluation")) golden.evaluation = ReadEvaluation(root["evaluation"]);
}

}  // namespace

absl::StatusOr<GoldenCase> OpenGoldenCase(const fs::path& dir) {
  const fs::path file = dir / "case.json";
  const auto text = storage::ReadFile(file);
  if (!text.ok()) return text.status();
  const json parsed = json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) return absl::InvalidArgumentError(absl::StrCat(file.string(), ": not a JSON object"));
  GoldenCase golden;
  absl::Status error;
  const Place root(parsed, "", error);
  ReadCase(root, dir, golden);
  if (!error.ok()) return absl::InvalidArgumentError(absl::StrCat(file.string(), ": ", error.message()));
  auto tensors = checkpoint::SafetensorsFile::Open(dir / "tensors.safetensors");
  if (!tensors.ok()) return tensors.status();
  golden.tensors = *std::move(tensors);
  return golden;
}

}  // namespace pixelrec::tools
