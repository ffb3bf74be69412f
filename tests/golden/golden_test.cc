// The numbers of the plain PyTorch reference (tests/golden/README.md) against this program's own: tokens, embeddings, one fixed
// batch (outputs, logits, loss, every gradient), five AdamW steps, ranks of targets.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <unistd.h>
#include <cmath>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "worker/checkpoint/decoder_config.h"
#include "worker/checkpoint/safetensors.h"
#include "worker/data/batch.h"
#include "worker/data/dataset.h"
#include "worker/data/prepare.h"
#include "worker/dist/process_group.h"
#include "worker/eval/item_matrix.h"
#include "worker/eval/ranking.h"
#include "worker/train/hllm_parameters.h"
#include "worker/train/hllm_step.h"
#include "worker/train/optimizer.h"
#include "worker/train/schedule.h"
#include "worker/train/tensor_bytes.h"

namespace pixelrec {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr double kEmbeddingTolerance = 1e-5;  // of the largest entry
constexpr double kLossTolerance = 1e-5;       // relative
constexpr double kGradientTolerance = 1e-4;   // relative, of norms
constexpr double kCurveTolerance = 1e-4;      // relative

const fs::path kCase = fs::path(PIXELREC_SOURCE_DIR) / "tests/golden/stories260k-movietweetings";

class GoldenTest : public testing::Test {
 protected:
  // Preparing the data takes a second: once for all cases.
  static void SetUpTestSuite() {
    golden_ = new json(json::parse(std::ifstream(kCase / "case.json")));
    cache_ = new fs::path(fs::temp_directory_path() / ("pixelrec-golden-" + std::to_string(getpid())));
    const json& config = (*golden_)["config"];
    data::PrepareOptions options;
    options.interaction_data = kCase / std::string(config["interaction_data"]);
    options.text_data = kCase / std::string(config["text_data"]);
    options.text_keys = config["text_keys"].get<std::vector<std::string>>();
    options.item_prompt = config["item_prompt"];
    options.max_text_length = config["max_text_length"];
    options.max_seq_length = config["max_seq_length"];
    options.tokenizer_dir = kCase / std::string(config["item_model_dir"]);
    options.cache_dir = *cache_;
    options.threads = 2;
    auto report = data::Prepare(options);
    ASSERT_TRUE(report.ok()) << report.status();
    auto dataset = data::Dataset::Open(report->path);
    ASSERT_TRUE(dataset.ok()) << dataset.status();
    dataset_ = dataset->release();
    item_ids_ = new std::unordered_map<std::string, uint32_t>;
    for (uint32_t i = 1; i <= dataset_->num_items(); ++i) (*item_ids_)[std::string(dataset_->item_name(i))] = i;
    auto tensors = checkpoint::SafetensorsFile::Open(kCase / "tensors.safetensors");
    ASSERT_TRUE(tensors.ok()) << tensors.status();
    tensors_ = tensors->release();
  }

  static void TearDownTestSuite() {
    delete tensors_;
    delete dataset_;
    delete item_ids_;
    fs::remove_all(*cache_);
    delete cache_;
    delete golden_;
  }

  void SetUp() override {
    const fs::path model_dir = kCase / std::string((*golden_)["config"]["item_model_dir"]);
    auto config = checkpoint::ReadDecoderConfig(model_dir);
    ASSERT_TRUE(config.ok()) << config.status();
    parameters_ = std::make_unique<dist::FlatParameters>(train::HllmUnits(*config, *config), at::TensorOptions(at::kFloat));
    for (const char* side : {"item_llm", "user_llm"}) {
      const auto unused = train::LoadSide(model_dir, *config, side, *parameters_);
      ASSERT_TRUE(unused.ok()) << unused.status();
    }
    train::InitializeHead(0, *parameters_);
    parameters_->weight("item_emb_tokens").copy_(Expected("item_emb_tokens").view({1, 1, -1}));
    hllm_ = std::make_unique<model::Hllm>(model::Hllm::Options{.item_llm = train::Describe(*config),
                                                               .user_llm = train::Describe(*config),
                                                               .max_text_length = dataset_->max_text_length(),
                                                               .max_seq_length = dataset_->max_seq_length(),
                                                               .gradient_checkpointing = false},
                                          train::LeafWeights(*parameters_, config->num_hidden_layers, config->num_hidden_layers));
  }

  static at::Tensor Expected(const std::string& name) { return train::TensorOf(*tensors_->Find(name)); }
  static bool Has(const std::string& name) { return tensors_->tensors().contains(name); }

  // The case's batch as one rank's packed share.
  static data::RankBatch Batch() {
    data::RankBatch batch;
    std::vector<uint32_t> positives, negatives;
    batch.row_offsets = {0};
    for (const json& row : (*golden_)["batch"]) {
      for (const json& item : row["positives"]) {
        if (!item.is_null()) positives.push_back(item_ids_->at(item));
      }
      batch.row_offsets.push_back(static_cast<int64_t>(positives.size()));
      batch.valid_rows += batch.row_offsets.back() - batch.row_offsets[batch.row_offsets.size() - 2] - 1;
      for (const json& item : row["negatives"]) negatives.push_back(item_ids_->at(item));
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

  at::Tensor Loss(const data::RankBatch& batch) const {
    return train::ForwardMicroStep(*dataset_, *hllm_, dist::ProcessGroup::Alone(), batch).loss;
  }

  static void ExpectClose(const at::Tensor& got, const at::Tensor& expected, const char* what) {
    const double difference = (got - expected).abs().max().item<double>(), largest = expected.abs().max().item<double>();
    EXPECT_LE(difference, kEmbeddingTolerance * largest) << what;
    std::printf("%-28s largest difference %.2e of the largest entry (tolerance %.0e)\n", what, difference / largest,
                kEmbeddingTolerance);
  }

  static inline json* golden_ = nullptr;
  static inline fs::path* cache_ = nullptr;
  static inline data::Dataset* dataset_ = nullptr;
  static inline checkpoint::SafetensorsFile* tensors_ = nullptr;
  static inline std::unordered_map<std::string, uint32_t>* item_ids_ = nullptr;
  std::unique_ptr<dist::FlatParameters> parameters_;
  std::unique_ptr<model::Hllm> hllm_;
};

TEST_F(GoldenTest, TokenIds) {
  for (const json& item : (*golden_)["items"]) {
    const auto got = dataset_->tokens(item_ids_->at(item["item_id"]));
    EXPECT_EQ(std::vector<uint32_t>(got.begin(), got.end()), item["token_ids"].get<std::vector<uint32_t>>()) << item["text"];
  }
}

TEST_F(GoldenTest, ItemEmbeddings) {
  std::vector<uint32_t> items;
  for (const json& item : (*golden_)["items"]) items.push_back(item_ids_->at(item["item_id"]));
  const at::Tensor got = hllm_->EncodeItems(eval::PackItems(*dataset_, items)).detach();
  ExpectClose(got, Expected("item_embeddings"), "item embeddings");
  model::PackedItems empty;
  empty.Append({});
  ExpectClose(hllm_->EncodeItems(empty).detach()[0], Expected("empty_text_embedding"), "embedding of an empty text");
}

TEST_F(GoldenTest, UserOutputsAndLogits) {
  const data::RankBatch batch = Batch();
  const at::Tensor items = hllm_->EncodeItems(eval::PackItems(*dataset_, batch.items)).detach();
  model::Segments histories;
  std::vector<int64_t> inputs, targets;
  for (size_t row = 0; row + 1 < batch.row_offsets.size(); ++row) {
    histories.Append(batch.row_offsets[row + 1] - batch.row_offsets[row] - 1);
    for (int64_t i = batch.row_offsets[row]; i + 1 < batch.row_offsets[row + 1]; ++i) {
      inputs.push_back(batch.positives[static_cast<size_t>(i)]);
      targets.push_back(batch.positives[static_cast<size_t>(i) + 1]);
    }
  }
  const auto rows = [&](const std::vector<int64_t>& v) { return items.index_select(0, at::tensor(v, at::kLong)); };
  const at::Tensor users = hllm_->EncodeUsers(rows(inputs), histories, model::Rows::kAll).detach();
  ExpectClose(users, Expected("user_output"), "user outputs");
  const at::Tensor logits =
      model::ComputeNceLoss(users, rows(targets), rows(batch.negatives), hllm_->weights().logit_scale).logits.detach();
  const at::Tensor expected = Expected("logits"), filtered = expected <= -1e30;
  EXPECT_TRUE(at::equal(logits <= -1e30, filtered));
  EXPECT_EQ(filtered.sum().item<int64_t>(), (*golden_)["loss"]["filtered_logits"].get<int64_t>());
  EXPECT_LE((logits - expected).masked_fill(filtered, 0).abs().max().item<double>(), 1e-4);
}

TEST_F(GoldenTest, LossAndGradients) {
  const json& expected = (*golden_)["loss"];
  const at::Tensor loss = Loss(Batch());
  loss.backward();
  EXPECT_NEAR(loss.item<double>() / expected["value"].get<double>(), 1, kLossTolerance);
  double worst = 0;
  for (const auto& [name, norm] : expected["grad_norms"].items()) {
    const double got = parameters_->gradient(name).norm().item<double>(), ratio = std::abs(got / norm.get<double>() - 1);
    EXPECT_LE(ratio, kGradientTolerance) << name;
    worst = std::max(worst, ratio);
  }
  EXPECT_EQ(expected["grad_norms"].size(), parameters_->ranges().size());  // exactly the trained tensors (rule M6)
  for (const std::string& name : {std::string("item_emb_tokens"), std::string("item_llm.layers.0.self_attn.q_proj.weight"),
                                  std::string("user_llm.layers.0.self_attn.q_proj.weight")}) {
    ASSERT_TRUE(Has("grad." + name));
    const at::Tensor want = Expected("grad." + name);
    EXPECT_LE((parameters_->gradient(name).view(want.sizes()) - want).norm().item<double>(),
              kGradientTolerance * want.norm().item<double>())
        << name;
  }
  EXPECT_NEAR(parameters_->gradient("logit_scale").item<double>() / expected["logit_scale_grad"].get<double>(), 1,
              kGradientTolerance);
  std::printf("loss %.7f, reference %.7f; worst gradient norm differs by %.1e (tolerance %.0e)\n", loss.item<double>(),
              expected["value"].get<double>(), worst, kGradientTolerance);
}

TEST_F(GoldenTest, CurveOfAdamWSteps) {
  const json& training = (*golden_)["training"];
  const data::RankBatch batch = Batch();
  train::AdamW optimizer(*parameters_, *train::GroupParameters(*parameters_, {}, {}), {.weight_decay = 0.01});
  for (const json& point : training["curve"]) {
    parameters_->ZeroGradients();
    const at::Tensor loss = Loss(batch);
    const double expected = point["loss"];
    EXPECT_NEAR(loss.item<double>() / expected, 1, kCurveTolerance) << "step " << point["step"];
    std::printf("step %d: loss %.7f, reference %.7f\n", point["step"].get<int>(), loss.item<double>(), expected);
    if (!point.contains("lr")) break;
    loss.backward();
    const double norm = train::ClipGradients(*parameters_, 1.0);
    EXPECT_NEAR(norm / point["grad_norm_before_clip"].get<double>(), 1, kGradientTolerance);
    const double rate = 1e-4 * train::LearningRateFactor(point["step"], training["total_steps"], 0.1);
    EXPECT_NEAR(rate, point["lr"].get<double>(), 1e-12);
    optimizer.Step(rate);
  }
  EXPECT_NEAR(parameters_->weight("logit_scale").item<double>(), training["logit_scale_after"].get<double>(), 1e-5);
}

TEST_F(GoldenTest, RanksOfTargets) {
  const json& evaluation = (*golden_)["evaluation"];
  const at::Tensor items = eval::EncodeAllItems(*dataset_, *hllm_, dist::ProcessGroup::Alone());
  const eval::TargetRanks ranks = eval::RankTargets(*dataset_, *hllm_, items, dist::ProcessGroup::Alone(), eval::Split::kTest);
  std::unordered_map<std::string, uint32_t> users;
  for (uint32_t u = 0; u < dataset_->num_users(); ++u) users[std::string(dataset_->user_name(u))] = u;
  for (const json& user : evaluation["users"]) {
    const int64_t got = ranks.ranks[users.at(user["user_id"])];
    if (user["rank"].is_null()) {
      EXPECT_EQ(got, eval::kMaskedTarget) << user["user_id"];
    } else {
      EXPECT_LE(std::abs(got - user["rank"].get<int64_t>()), user["within_1e-6"].get<int64_t>()) << user["user_id"];
    }
  }
}

}  // namespace
}  // namespace pixelrec
