// Every supported architecture against transformers: hidden states, gradients of every tensor, item embeddings, on tiny random
// models (tests/golden/architectures/make_cases.py says what a case holds). PIXELREC_ARCHITECTURES names another folder of cases.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "worker/checkpoint/decoder_config.h"
#include "worker/checkpoint/decoder_tensors.h"
#include "worker/checkpoint/safetensors.h"
#include "worker/train/hllm_parameters.h"
#include "worker/train/optimizer.h"
#include "worker/train/parameter_groups.h"
#include "worker/train/tensor_bytes.h"

namespace pixelrec {
namespace {

namespace fs = std::filesystem;

constexpr double kHiddenTolerance = 1e-4;    // absolute, and of the largest entry
constexpr double kGradientTolerance = 1e-3;  // relative to the tensor's norm
constexpr double kCurveTolerance = 1e-4;     // relative
// Gradients that are zero but for rounding (a bias that softmax doesn't see) are held against all gradients' norm.
constexpr double kNegligible = 1e-4;

std::vector<std::string> CaseNames() {
  const char* given = std::getenv("PIXELREC_ARCHITECTURES");
  const fs::path folder = given != nullptr ? fs::path(given) : fs::path(PIXELREC_SOURCE_DIR) / "tests/golden/architectures";
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (fs::exists(entry.path() / "expected.safetensors")) names.push_back(entry.path().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> CasesWithToken() {
  std::vector<std::string> names = CaseNames();
  std::erase_if(names, [](const std::string& name) {
    const auto expected = checkpoint::SafetensorsFile::Open(fs::path(name) / "expected.safetensors");
    return expected.ok() && !(*expected)->tensors().contains("item_emb_tokens");
  });
  return names;
}

double LargestDifference(const at::Tensor& got, const at::Tensor& expected) {
  return (got - expected).abs().max().item<double>();
}

class ArchitectureTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const fs::path dir = GetParam();
    auto config = checkpoint::ReadDecoderConfig(dir);
    ASSERT_TRUE(config.ok()) << config.status();
    config_ = *std::move(config);
    auto expected = checkpoint::SafetensorsFile::Open(dir / "expected.safetensors");
    ASSERT_TRUE(expected.ok()) << expected.status();
    expected_ = *std::move(expected);
    parameters_ = std::make_unique<dist::FlatParameters>(train::HllmUnits(config_, config_, has_token() ? 1 : 0),
                                                         at::TensorOptions(at::kFloat));
    for (const char* side : {"item_llm", "user_llm"}) {
      auto loaded = train::LoadSide(dir, config_, side, *parameters_);
      ASSERT_TRUE(loaded.ok()) << loaded.status();
    }
    for (const float length : Floats("lengths")) segments_.Append(static_cast<int64_t>(length));
    for (const float id : Floats("token_ids")) token_ids_.push_back(static_cast<int64_t>(id));
  }

  bool has_token() const { return expected_->tensors().contains("item_emb_tokens"); }
  at::Tensor Expected(const std::string& name) const { return train::TensorOf(*expected_->Find(name)); }
  std::vector<float> Floats(const std::string& name) const {
    const at::Tensor t = Expected(name).contiguous();
    return {t.const_data_ptr<float>(), t.const_data_ptr<float>() + t.numel()};
  }

  model::Hllm MakeHllm(int64_t item_emb_token_n, bool checkpointing) const {
    return model::Hllm({.item_llm = train::Describe(config_),
                        .user_llm = train::Describe(config_),
                        .max_text_length = 40,
                        .max_seq_length = 41,
                        .item_emb_token_n = item_emb_token_n,
                        .gradient_checkpointing = checkpointing},
                       train::LeafWeights(*parameters_, config_.num_hidden_layers, config_.num_hidden_layers));
  }

  // All positions' hidden states, with a graph.
  at::Tensor Hidden(const model::Segments& segments, const std::vector<int64_t>& ids, bool checkpointing) const {
    const model::Hllm hllm = MakeHllm(1, checkpointing);
    const model::DecoderWeights& weights = hllm.weights().item_llm;
    return model::DecoderForward(config_, weights, model::EmbedTokens(config_, weights, ids), segments,
                                 model::MakeRotaryTables(config_, 40, at::kCPU),
                                 {.rows = model::Rows::kAll, .checkpointing = checkpointing});
  }

  model::PackedItems Items() const {
    model::PackedItems items;
    for (int64_t s = 0; s < segments_.count(); ++s) {
      const auto first = token_ids_.begin() + segments_.begin(s);
      const std::vector<uint32_t> tokens(first, first + segments_.length(s));
      items.Append(tokens);
    }
    return items;
  }

  void ExpectClose(const at::Tensor& got, const at::Tensor& expected, const char* what) const {
    const double difference = LargestDifference(got.detach(), expected), largest = expected.abs().max().item<double>();
    EXPECT_LE(difference, kHiddenTolerance * std::max(1.0, largest)) << what;
    std::printf("%-20s %-16s largest difference %.1e of %.1f (tolerance %.0e)\n", fs::path(GetParam()).filename().c_str(), what,
                difference, largest, kHiddenTolerance);
  }

  checkpoint::DecoderConfig config_;
  std::unique_ptr<checkpoint::SafetensorsFile> expected_;
  std::unique_ptr<dist::FlatParameters> parameters_;
  model::Segments segments_;
  std::vector<int64_t> token_ids_;
};

// Those that end in an embedding token; encoders only pool.
class TokenArchitectureTest : public ArchitectureTest {};

TEST_P(ArchitectureTest, HiddenStates) { ExpectClose(Hidden(segments_, token_ids_, false), Expected("hidden"), "hidden states"); }

// With and without activation checkpointing.
TEST_P(ArchitectureTest, GradientsOfEveryTensor) {
  const at::Tensor cotangent = Expected("cotangent");
  double all = 0, worst = 0;
  for (const auto& spec : checkpoint::DecoderTensors(config_))
    all += std::pow(Expected("grad." + spec.name).norm().item<double>(), 2);
  for (const bool checkpointing : {false, true}) {
    parameters_->ZeroGradients();
    (Hidden(segments_, token_ids_, checkpointing) * cotangent).sum().backward();
    for (const auto& spec : checkpoint::DecoderTensors(config_)) {
      const at::Tensor want = Expected("grad." + spec.name), got = parameters_->gradient("item_llm." + spec.name);
      const double scale = std::max(want.norm().item<double>(), kNegligible * std::sqrt(all));
      const double difference = (got - want).norm().item<double>() / scale;
      EXPECT_LE(difference, kGradientTolerance) << spec.name << ", checkpointing " << checkpointing;
      worst = std::max(worst, difference);
    }
  }
  std::printf("%-20s gradients        worst tensor differs by %.1e of its norm (tolerance %.0e)\n",
              fs::path(GetParam()).filename().c_str(), worst, kGradientTolerance);
}

// 20 AdamW steps on one batch.
TEST_P(ArchitectureTest, CurveOfAdamWSteps) {
  const at::Tensor target = Expected("cotangent");
  train::AdamW optimizer(*parameters_, *train::GroupParameters(*parameters_, {}, {}), {.weight_decay = 0.01});
  double worst = 0;
  for (const float expected : Floats("curve")) {
    parameters_->ZeroGradients();
    const at::Tensor loss = (Hidden(segments_, token_ids_, true) - target).square().mean();
    worst = std::max(worst, std::abs(loss.item<double>() / expected - 1));
    loss.backward();
    optimizer.Step(1e-3);
  }
  EXPECT_LE(worst, kCurveTolerance);
  std::printf("%-20s 20 AdamW steps   losses differ by %.1e (tolerance %.0e)\n", fs::path(GetParam()).filename().c_str(), worst,
              kCurveTolerance);
}

// The shortened last layer, and what stands where the embedding token is (rules M2, M3).
TEST_P(TokenArchitectureTest, ItemEmbeddings) {
  const at::NoGradGuard no_graph;
  const at::Tensor token = Expected("item_emb_tokens");
  parameters_->weight("item_emb_tokens").copy_(token.view({1, 1, -1}));
  ExpectClose(MakeHllm(1, false).EncodeItems(Items()), Expected("item_embeddings"), "item embeddings");
}

// Rule X5, item_emb_token_n 0.
TEST_P(ArchitectureTest, PooledItemEmbeddings) {
  const at::NoGradGuard no_graph;
  ExpectClose(MakeHllm(0, false).EncodeItems(Items()), Expected("pooled"), "pooled");
}

// What a sequence is packed with changes nothing, and its user output is its last row.
TEST_P(ArchitectureTest, PackedEqualsAlone) {
  const at::NoGradGuard no_graph;
  const at::Tensor packed = Hidden(segments_, token_ids_, false);
  for (int64_t s = 0; s < segments_.count(); ++s) {
    model::Segments one;
    one.Append(segments_.length(s));
    const auto first = token_ids_.begin() + segments_.begin(s);
    const at::Tensor alone = Hidden(one, {first, first + segments_.length(s)}, false);
    EXPECT_LE(LargestDifference(packed.narrow(0, segments_.begin(s), segments_.length(s)), alone), 2e-5) << "sequence " << s;
  }
}

std::string CaseName(const testing::TestParamInfo<std::string>& info) {
  std::string name = fs::path(info.param).filename();
  for (char& c : name) {
    if (c == '-') c = '_';
  }
  return name;
}
INSTANTIATE_TEST_SUITE_P(Transformers, ArchitectureTest, testing::ValuesIn(CaseNames()), CaseName);
INSTANTIATE_TEST_SUITE_P(Transformers, TokenArchitectureTest, testing::ValuesIn(CasesWithToken()), CaseName);

}  // namespace
}  // namespace pixelrec
