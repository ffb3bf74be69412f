#include "worker/tools/golden/golden_subject.h"

#include <ATen/ATen.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "worker/checkpoint/decoder_config.h"
#include "worker/data/prepare.h"
#include "worker/train/hllm_parameters.h"
#include "worker/train/optimizer.h"
#include "worker/train/tensor_bytes.h"

namespace pixelrec::tools {
namespace {

namespace fs = std::filesystem;

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (fs::temp_directory_path() / "pixelrec-golden-XXXXXX").string();
    if (mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const fs::path& path() const { return path_; }  // empty: it could not be made

 private:
  fs::path path_;
};

absl::StatusOr<std::unique_ptr<data::Dataset>> PrepareData(const GoldenCase& golden, const fs::path& cache, int threads) {
  data::PrepareOptions options;
  options.interaction_data = golden.interaction_data;
  options.text_data = golden.text_data;
  options.text_keys = golden.text_keys;
  options.item_prompt = golden.item_prompt;
  options.max_text_length = golden.max_text_length;
  options.max_seq_length = golden.max_seq_length;
  if (golden.compat) options.compat = data::CompatRules::All();
  options.tokenizer_dir = golden.item_model_dir;
  options.cache_dir = cache;
  options.threads = threads;
  const auto report = data::Prepare(options);
  if (!report.ok()) return report.status();
  return data::Dataset::Open(report->path);
}

absl::Status LoadToken(const GoldenCase& golden, dist::FlatParameters& parameters) {
  const auto token = Expected(golden, "item_emb_tokens");
  if (!token.ok()) return token.status();
  at::Tensor own = parameters.weight("item_emb_tokens");
  if (token->numel() != own.numel()) {
    return absl::InvalidArgumentError(absl::StrCat(golden.tensors->path().string(), ": item_emb_tokens has ", token->numel(),
                                                   " entries, the model's hidden_size is ", own.numel()));
  }
  own.copy_(token->view_as(own));
  return absl::OkStatus();
}

absl::Status LoadModel(const GoldenCase& golden, GoldenSubject& subject) {
  const auto item = checkpoint::ReadDecoderConfig(golden.item_model_dir);
  if (!item.ok()) return item.status();
  const auto user = checkpoint::ReadDecoderConfig(golden.user_model_dir);
  if (!user.ok()) return user.status();
  subject.parameters = std::make_unique<dist::FlatParameters>(train::HllmUnits(*item, *user, golden.item_emb_token_n),
                                                              at::TensorOptions(at::kFloat),
                                                              train::RoundingOf(train::ComputeType::kFp32, CompatOf(golden)));
  for (const auto& [dir, config, side] :
       {std::tuple(&golden.item_model_dir, &*item, "item_llm"), std::tuple(&golden.user_model_dir, &*user, "user_llm")}) {
    const auto unused = train::LoadSide(*dir, *config, side, *subject.parameters);
    if (!unused.ok()) return unused.status();
  }
  train::InitializeHead(0, *subject.parameters);
  if (golden.item_emb_token_n > 0) {
    if (absl::Status status = LoadToken(golden, *subject.parameters); !status.ok()) return status;
  }
  if (golden.compat) subject.parameters->RoundMasters();
  subject.exchange = std::make_unique<dist::UnitExchange>(*subject.parameters, dist::ProcessGroup::Alone());
  train::FollowMasters(*subject.exchange, *subject.parameters, CompatOf(golden));
  subject.hllm =
      std::make_unique<model::Hllm>(model::Hllm::Options{.item_llm = train::Describe(*item),
                                                         .user_llm = train::Describe(*user),
                                                         .max_text_length = golden.max_text_length,
                                                         .max_seq_length = golden.max_seq_length,
                                                         .item_emb_token_n = golden.item_emb_token_n,
                                                         .gradient_checkpointing = false,
                                                         .composed_ops = golden.compat},
                                    train::LeafWeights(*subject.parameters, item->num_hidden_layers, user->num_hidden_layers));
  return absl::OkStatus();
}

}  // namespace

train::CompatTraining CompatOf(const GoldenCase& golden) {
  return golden.compat ? train::CompatTraining::All() : train::CompatTraining{};
}

absl::StatusOr<at::Tensor> Expected(const GoldenCase& golden, const std::string& name) {
  const auto tensor = golden.tensors->Find(name);
  if (!tensor.ok()) return tensor.status();
  return train::TensorOf(*tensor);
}

absl::StatusOr<uint32_t> NumberOf(const Numbers& numbers, const std::string& name, absl::string_view what) {
  const auto found = numbers.find(name);
  if (found == numbers.end())
    return absl::InvalidArgumentError(absl::StrCat("case.json names the ", what, " \"", name, "\", which the data doesn't have"));
  return found->second;
}

absl::StatusOr<std::vector<uint32_t>> NumbersOf(const Numbers& items, const std::vector<std::string>& names) {
  std::vector<uint32_t> numbers;
  for (const std::string& name : names) {
    const auto number = NumberOf(items, name, "item");
    if (!number.ok()) return number.status();
    numbers.push_back(*number);
  }
  return numbers;
}

absl::StatusOr<data::RankBatch> BatchOf(const GoldenCase& golden, const GoldenSubject& subject) {
  data::RankBatch batch;
  std::vector<uint32_t> positives, negatives;
  batch.row_offsets = {0};
  for (const GoldenCase::Row& row : golden.batch) {
    const auto p = NumbersOf(subject.items, row.positives), n = NumbersOf(subject.items, row.negatives);
    if (!p.ok()) return p.status();
    if (!n.ok()) return n.status();
    positives.insert(positives.end(), p->begin(), p->end());
    negatives.insert(negatives.end(), n->begin(), n->end());
    batch.row_offsets.push_back(static_cast<int64_t>(positives.size()));
    batch.valid_rows += static_cast<int64_t>(p->size()) - 1;
  }
  batch.items = positives;
  batch.items.insert(batch.items.end(), negatives.begin(), negatives.end());
  std::sort(batch.items.begin(), batch.items.end());
  batch.items.erase(std::unique(batch.items.begin(), batch.items.end()), batch.items.end());
  const auto index = [&](uint32_t item) {
    return std::lower_bound(batch.items.begin(), batch.items.end(), item) - batch.items.begin();
  };
  for (const uint32_t item : positives) batch.positives.push_back(index(item));
  for (const uint32_t item : negatives) batch.negatives.push_back(index(item));
  batch.negatives_by_rank = {static_cast<int64_t>(batch.negatives.size())};
  batch.global_valid_rows = batch.valid_rows;
  return batch;
}

absl::StatusOr<GoldenSubject> OpenGoldenSubject(const GoldenCase& golden, int threads) {
  const TemporaryFolder cache;
  if (cache.path().empty()) return absl::InternalError("can't make a temporary folder");
  GoldenSubject subject;
  auto dataset = PrepareData(golden, cache.path(), threads);
  if (!dataset.ok()) return dataset.status();
  subject.dataset = *std::move(dataset);  // mapped: it stays readable when its folder is gone
  if (absl::Status status = LoadModel(golden, subject); !status.ok()) return status;
  const data::Dataset& d = *subject.dataset;
  for (uint32_t i = 1; i <= d.num_items(); ++i) subject.items.emplace(d.item_name(i), i);
  for (uint32_t u = 0; u < d.num_users(); ++u) subject.users.emplace(d.user_name(u), u);
  return subject;
}

}  // namespace pixelrec::tools
