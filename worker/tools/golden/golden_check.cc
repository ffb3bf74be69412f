#include "worker/tools/golden/golden_check.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "worker/dist/process_group.h"
#include "worker/eval/item_matrix.h"
#include "worker/eval/ranking.h"
#include "worker/model/compat_loss.h"
#include "worker/tools/golden/golden_subject.h"
#include "worker/train/hllm_step.h"
#include "worker/train/optimizer.h"
#include "worker/train/schedule.h"

namespace pixelrec::tools {
namespace {

// docs/fidelity.md gives the reasons.
struct Tolerances {
  double embedding;  // of the largest entry
  double logit;
  double loss;            // relative
  double gradient;        // relative
  double curve;           // relative
  double curve_gradient;  // relative: gradient norms behind the first step
  double filtered;        // share of the logits whose cosine may lie on the other side of the threshold
};
constexpr Tolerances kFp32 = {
    .embedding = 1e-5, .logit = 1e-4, .loss = 1e-5, .gradient = 1e-4, .curve = 1e-4, .curve_gradient = 1e-4, .filtered = 0};
constexpr Tolerances kBf16 = {
    .embedding = 0.1, .logit = 2.0, .loss = 2e-2, .gradient = 0.8, .curve = 0.1, .curve_gradient = 1.0, .filtered = 0.01};
// Gradients that are zero but for rounding (a bias that softmax doesn't see) are held against the whole gradient's norm.
constexpr double kNegligible = 1e-3;
constexpr double kMetricTolerance = 1e-9;
constexpr double kExact = 1e-12;  // of the same arithmetic
constexpr double kFiltered = -1e30;
// The optimiser of the reference (make_golden.py).
constexpr double kLearningRate = 1e-4, kWarmup = 0.1, kWeightDecay = 0.01, kClip = 1.0;

class Checker {
 public:
  Checker(const GoldenCase& golden, GoldenSubject subject, data::RankBatch batch)
      : golden_(golden),
        compat_(CompatOf(golden)),
        allowed_(golden.compat ? kBf16 : kFp32),
        s_(std::move(subject)),
        batch_(std::move(batch)) {}

  absl::StatusOr<std::vector<Figure>> Run() {
    for (auto step : {&Checker::TokenIds, &Checker::Chunks, &Checker::ItemEmbeddings, &Checker::OutputsAndLogits,
                      &Checker::LossAndGradients, &Checker::Ranks, &Checker::Curve}) {  // the curve moves the weights: last
      if (absl::Status status = (this->*step)(); !status.ok()) return status;
    }
    return std::move(figures_);
  }

 private:
  absl::Status TokenIds() {
    for (const GoldenCase::Item& item : golden_.items) {
      const auto number = NumberOf(s_.items, item.id, "item");
      if (!number.ok()) return number.status();
      const auto got = s_.dataset->tokens(*number);
      size_t differing = std::max(got.size(), item.token_ids.size()) - std::min(got.size(), item.token_ids.size());
      for (size_t i = 0; i < std::min(got.size(), item.token_ids.size()); ++i) differing += got[i] != item.token_ids[i];
      figures_.push_back({absl::StrCat("token ids of ", item.id), static_cast<double>(item.token_ids.size()),
                          static_cast<double>(got.size()), static_cast<double>(differing), 0});
    }
    return absl::OkStatus();
  }

  // Every training sample: whose, and which items.
  absl::Status Chunks() {
    if (!golden_.chunks) return absl::OkStatus();
    const auto samples = s_.dataset->samples();
    const size_t expected = golden_.chunks->size(), both = std::min(expected, samples.size());
    size_t differing = std::max(expected, samples.size()) - both;
    for (size_t i = 0; i < both; ++i) {
      const GoldenCase::Chunk& chunk = (*golden_.chunks)[i];
      const auto got = s_.dataset->history(samples[i].user).subspan(samples[i].start, samples[i].length);
      const bool same = s_.dataset->user_name(samples[i].user) == chunk.user &&
                        std::equal(got.begin(), got.end(), chunk.items.begin(), chunk.items.end(),
                                   [&](uint32_t item, const std::string& name) { return s_.dataset->item_name(item) == name; });
      differing += same ? 0 : 1;
    }
    figures_.push_back({"training chunks (D5-D7)", static_cast<double>(expected), static_cast<double>(samples.size()),
                        static_cast<double>(differing), 0});
    return absl::OkStatus();
  }

  // Entries of tensors; the columns show the largest one.
  absl::Status AddTensor(const std::string& label, const std::string& name, const at::Tensor& got, double tolerance,
                         bool relative) {
    const auto expected = Expected(golden_, name);
    if (!expected.ok()) return expected.status();
    if (expected->numel() != got.numel()) {
      return absl::InvalidArgumentError(absl::StrCat(golden_.tensors->path().string(), ": ", name, " has ", expected->numel(),
                                                     " entries, ", got.numel(), " follow from case.json"));
    }
    const double largest = expected->abs().max().item<double>();
    const double difference = (got.to(at::kFloat).reshape(expected->sizes()) - *expected).abs().max().item<double>();
    figures_.push_back({label, largest, got.abs().max().item<double>(), relative ? difference / largest : difference, tolerance});
    return absl::OkStatus();
  }

  absl::Status ItemEmbeddings() {
    std::vector<std::string> names;
    for (const GoldenCase::Item& item : golden_.items) names.push_back(item.id);
    const auto items = NumbersOf(s_.items, names);
    if (!items.ok()) return items.status();
    const at::Tensor got = s_.hllm->EncodeItems(eval::PackItems(*s_.dataset, *items)).detach();
    if (auto status = AddTensor("item embeddings", "item_embeddings", got, allowed_.embedding, true); !status.ok()) return status;
    if (golden_.compat || golden_.item_emb_token_n == 0) return absl::OkStatus();  // no item is without a token
    model::PackedItems empty;
    empty.Append({});
    return AddTensor("embedding of an empty text", "empty_text_embedding", s_.hllm->EncodeItems(empty).detach(),
                     allowed_.embedding, true);
  }

  absl::Status OutputsAndLogits() {
    const at::Tensor items = s_.hllm->EncodeItems(eval::PackItems(*s_.dataset, batch_.items)).detach();
    model::Segments histories;
    std::vector<int64_t> inputs, targets;
    for (size_t row = 0; row + 1 < batch_.row_offsets.size(); ++row) {
      histories.Append(batch_.row_offsets[row + 1] - batch_.row_offsets[row] - 1);
      for (int64_t i = batch_.row_offsets[row]; i + 1 < batch_.row_offsets[row + 1]; ++i) {
        inputs.push_back(batch_.positives[static_cast<size_t>(i)]);
        targets.push_back(batch_.positives[static_cast<size_t>(i) + 1]);
      }
    }
    const auto rows = [&](const std::vector<int64_t>& v) { return items.index_select(0, at::tensor(v, at::kLong)); };
    const at::Tensor users = s_.hllm->EncodeUsers(rows(inputs), histories, model::Rows::kAll).detach();
    if (auto status = AddTensor("user outputs", "user_output", users, allowed_.embedding, true); !status.ok()) return status;
    return AddLogits(LogitsOf(users, rows(targets), rows(batch_.negatives)).detach().to(at::kFloat));
  }

  at::Tensor LogitsOf(const at::Tensor& users, const at::Tensor& targets, const at::Tensor& negatives) const {
    const at::Tensor& scale = s_.hllm->weights().logit_scale;
    if (golden_.compat) return model::ComputeCompatNceLoss(users, targets, negatives, scale).logits;
    return model::ComputeNceLoss(users, targets, negatives, scale).logits;
  }

  absl::Status AddLogits(const at::Tensor& logits) {
    const auto expected = Expected(golden_, "logits");
    if (!expected.ok()) return expected.status();
    if (expected->sizes() != logits.sizes()) {
      return absl::InvalidArgumentError(absl::StrCat(golden_.tensors->path().string(), ": logits: expected ", logits.size(0),
                                                     " x ", logits.size(1), " entries by case.json's batch"));
    }
    const at::Tensor filtered = *expected <= kFiltered, own = logits <= kFiltered;
    const auto count = [](const at::Tensor& mask) { return static_cast<double>(mask.sum().item<int64_t>()); };
    const double uncertain = allowed_.filtered * static_cast<double>(own.numel());
    figures_.push_back(
        AbsoluteFigure("filtered logits (N4)", static_cast<double>(golden_.loss.filtered_logits), count(own), uncertain));
    figures_.push_back({"places of filtered logits", count(filtered), count(own), count(own != filtered), uncertain});
    const at::Tensor both = filtered | own, want = expected->masked_fill(both, 0), got = logits.masked_fill(both, 0);
    figures_.push_back({"logits", want.abs().max().item<double>(), got.abs().max().item<double>(),
                        (got - want).abs().max().item<double>(), allowed_.logit});
    return absl::OkStatus();
  }

  at::Tensor Loss() const {
    return train::ForwardMicroStep(*s_.dataset, *s_.hllm, dist::ProcessGroup::Alone(), batch_, compat_).loss;
  }

  // Gradients of `loss`, in fp32.
  void Backward(const at::Tensor& loss) {
    loss.backward();
    s_.exchange->FinishBackward(/*last_micro_step=*/true);
  }

  absl::Status LossAndGradients() {
    const GoldenCase::Loss& expected = golden_.loss;
    s_.parameters->ZeroGradients();
    const at::Tensor loss = Loss();
    Backward(loss);
    figures_.push_back(
        AbsoluteFigure("valid rows", static_cast<double>(expected.rows), static_cast<double>(batch_.valid_rows), 0));
    figures_.push_back(RelativeFigure("loss", expected.value, loss.item<double>(), allowed_.loss));
    figures_.push_back(AbsoluteFigure("trained tensors (M6)", static_cast<double>(expected.grad_norms.size()),
                                      static_cast<double>(Trained().size()), 0));
    double squares = 0;
    for (const std::string& name : Trained()) {
      const double norm = s_.parameters->gradient(name).norm().item<double>();
      squares += norm * norm;
      const auto want = expected.grad_norms.find(name);
      if (want == expected.grad_norms.end())
        return absl::InvalidArgumentError(absl::StrCat("case.json: loss.grad_norms has no ", name, ", which the model trains"));
      figures_.push_back({absl::StrCat("gradient norm of ", name), want->second, norm,
                          std::abs(norm - want->second) / GradientScale(want->second), allowed_.gradient});
    }
    figures_.push_back(RelativeFigure("gradient norm", expected.grad_norm, std::sqrt(squares), allowed_.gradient));
    figures_.push_back(RelativeFigure("gradient of logit_scale", expected.logit_scale_grad,
                                      s_.parameters->gradient("logit_scale").item<double>(), allowed_.gradient));
    return AddGradients();
  }

  // Without the embedding token of a model that pools.
  std::vector<std::string> Trained() const {
    std::vector<std::string> names;
    for (const auto& [name, range] : s_.parameters->ranges()) {
      if (range.numel > 0) names.push_back(name);
    }
    return names;
  }

  double GradientScale(double norm) const { return std::max(norm, kNegligible * golden_.loss.grad_norm); }

  // Whole gradients, where the case has them.
  absl::Status AddGradients() {
    for (const auto& [tensor, info] : golden_.tensors->tensors()) {
      const std::string prefix = "grad.";
      if (!tensor.starts_with(prefix)) continue;
      const std::string name = tensor.substr(prefix.size());
      if (!s_.parameters->ranges().contains(name)) {
        return absl::InvalidArgumentError(
            absl::StrCat(golden_.tensors->path().string(), ": ", tensor, ": the model trains no ", name));
      }
      const at::Tensor want = *Expected(golden_, tensor), got = s_.parameters->gradient(name);
      if (want.numel() != got.numel())
        return absl::InvalidArgumentError(
            absl::StrCat(golden_.tensors->path().string(), ": ", tensor, " has another size than the model's"));
      const double norm = want.norm().item<double>();
      figures_.push_back({absl::StrCat("gradient of ", name), norm, got.norm().item<double>(),
                          (got.reshape(want.sizes()) - want).norm().item<double>() / GradientScale(norm), allowed_.gradient});
    }
    return absl::OkStatus();
  }

  absl::Status Curve() {
    if (!golden_.training) return absl::OkStatus();
    const auto groups = train::GroupParameters(*s_.parameters, {}, {});
    if (!groups.ok()) return groups.status();
    train::AdamW optimizer(*s_.parameters, *groups, {.weight_decay = kWeightDecay});
    for (const GoldenCase::Step& point : golden_.training->curve) {
      s_.parameters->ZeroGradients();
      const at::Tensor loss = Loss();
      figures_.push_back(
          RelativeFigure(absl::StrCat("loss at step ", point.step), point.loss, loss.item<double>(), allowed_.curve));
      if (!point.lr) break;
      Backward(loss);
      const double norm = train::ClipGradients(*s_.exchange, *s_.parameters, compat_.no_clipping ? INFINITY : kClip);
      figures_.push_back(RelativeFigure(absl::StrCat("gradient norm at step ", point.step), *point.grad_norm, norm,
                                        point.step == 0 ? allowed_.gradient : allowed_.curve_gradient));
      const double rate = kLearningRate * train::LearningRateFactor(point.step, golden_.training->total_steps, kWarmup);
      figures_.push_back(AbsoluteFigure(absl::StrCat("learning rate at step ", point.step), *point.lr, rate, kExact));
      optimizer.Step(rate);
      train::FollowMasters(*s_.exchange, *s_.parameters, compat_);
    }
    figures_.push_back(RelativeFigure("logit_scale after the last step", golden_.training->logit_scale_after,
                                      s_.parameters->weight("logit_scale").item<double>(), allowed_.curve));
    return absl::OkStatus();
  }

  absl::Status Ranks() {
    if (!golden_.evaluation) return absl::OkStatus();
    const at::Tensor items = eval::EncodeAllItems(*s_.dataset, *s_.hllm, dist::ProcessGroup::Alone());
    const eval::TargetRanks all =
        eval::RankTargets(*s_.dataset, *s_.hllm, items, dist::ProcessGroup::Alone(), eval::Split::kTest);
    std::vector<int64_t> ranks;
    double agreeing = 0;
    for (const GoldenCase::User& user : golden_.evaluation->users) {
      const auto number = NumberOf(s_.users, user.id, "user");
      if (!number.ok()) return number.status();
      ranks.push_back(all.ranks[*number]);
      const bool agrees = user.rank ? std::abs(ranks.back() - *user.rank) <= user.near : ranks.back() == eval::kMaskedTarget;
      agreeing += agrees;
      // Each user that disagrees has a line of its own.
      if (!agrees)
        figures_.push_back(AbsoluteFigure(absl::StrCat("rank of the target of ", user.id),
                                          static_cast<double>(user.rank.value_or(0)), static_cast<double>(ranks.back()),
                                          static_cast<double>(user.near)));
    }
    const auto users = static_cast<double>(ranks.size());
    figures_.push_back(AbsoluteFigure("users whose target's rank agrees", users, agreeing, 0));
    AddMetrics(ranks);
    return absl::OkStatus();
  }

  // Of the case's users. A metric may differ as far as users with near ties may come to lie on another rank.
  void AddMetrics(const std::vector<int64_t>& ranks) {
    const auto users = static_cast<double>(std::max<size_t>(ranks.size(), 1));
    for (const auto& [name, expected] : golden_.evaluation->metrics) {
      const size_t at = name.find('@');
      int64_t k = 0;
      if (at == std::string::npos || !absl::SimpleAtoi(name.substr(at + 1), &k)) continue;
      const bool ndcg = name.starts_with("ndcg");
      double sum = 0, unsure = 0;
      for (size_t i = 0; i < ranks.size(); ++i) {
        if (ranks[i] < 1) continue;
        const int64_t near = golden_.evaluation->users[i].near, best = ranks[i] - near, worst = ranks[i] + near;
        if (ranks[i] <= k) sum += ndcg ? 1 / std::log2(static_cast<double>(ranks[i]) + 1) : 1;
        if (near > 0 && best <= k && (ndcg || worst > k)) unsure += 1;
      }
      figures_.push_back(AbsoluteFigure(name, expected, sum / users, kMetricTolerance + unsure / users));
    }
  }

  const GoldenCase& golden_;
  const train::CompatTraining compat_;
  const Tolerances allowed_;
  GoldenSubject s_;
  data::RankBatch batch_;
  std::vector<Figure> figures_;
};

}  // namespace

absl::StatusOr<std::vector<Figure>> CheckGolden(const GoldenCase& golden, int threads) {
  auto subject = OpenGoldenSubject(golden, threads);
  if (!subject.ok()) return subject.status();
  auto batch = BatchOf(golden, *subject);
  if (!batch.ok()) return batch.status();
  return Checker(golden, *std::move(subject), *std::move(batch)).Run();
}

}  // namespace pixelrec::tools
