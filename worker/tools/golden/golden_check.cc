#include "worker/tools/golden/golden_check.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "worker/dist/process_group.h"
#include "worker/eval/item_matrix.h"
#include "worker/eval/ranking.h"
#include "worker/tools/golden/golden_subject.h"
#include "worker/train/hllm_step.h"
#include "worker/train/optimizer.h"
#include "worker/train/schedule.h"

namespace pixelrec::tools {
namespace {

// docs/fidelity.md gives the reasons.
constexpr double kEmbeddingTolerance = 1e-5;  // of the largest entry
constexpr double kLogitTolerance = 1e-4;
constexpr double kLossTolerance = 1e-5;      // relative
constexpr double kGradientTolerance = 1e-4;  // relative
constexpr double kCurveTolerance = 1e-4;     // relative
constexpr double kMetricTolerance = 1e-9;
constexpr double kExact = 1e-12;  // of the same arithmetic
constexpr double kFiltered = -1e30;
// The optimiser of the reference (make_golden.py).
constexpr double kLearningRate = 1e-4, kWarmup = 0.1, kWeightDecay = 0.01, kClip = 1.0;

class Checker {
 public:
  Checker(const GoldenCase& golden, GoldenSubject subject, data::RankBatch batch)
      : golden_(golden), s_(std::move(subject)), batch_(std::move(batch)) {}

  absl::StatusOr<std::vector<Figure>> Run() {
    for (auto step : {&Checker::TokenIds, &Checker::ItemEmbeddings, &Checker::OutputsAndLogits, &Checker::LossAndGradients,
                      &Checker::Ranks, &Checker::Curve}) {  // the curve moves the weights: last
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
    const double difference = (got.reshape(expected->sizes()) - *expected).abs().max().item<double>();
    figures_.push_back({label, largest, got.abs().max().item<double>(), relative ? difference / largest : difference, tolerance});
    return absl::OkStatus();
  }

  absl::Status ItemEmbeddings() {
    std::vector<std::string> names;
    for (const GoldenCase::Item& item : golden_.items) names.push_back(item.id);
    const auto items = NumbersOf(s_.items, names);
    if (!items.ok()) return items.status();
    const at::Tensor got = s_.hllm->EncodeItems(eval::PackItems(*s_.dataset, *items)).detach();
    if (auto status = AddTensor("item embeddings", "item_embeddings", got, kEmbeddingTolerance, true); !status.ok())
      return status;
    model::PackedItems empty;
    empty.Append({});
    return AddTensor("embedding of an empty text", "empty_text_embedding", s_.hllm->EncodeItems(empty).detach(),
                     kEmbeddingTolerance, true);
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
    if (auto status = AddTensor("user outputs", "user_output", users, kEmbeddingTolerance, true); !status.ok()) return status;
    const at::Tensor logits =
        model::ComputeNceLoss(users, rows(targets), rows(batch_.negatives), s_.hllm->weights().logit_scale).logits.detach();
    return AddLogits(logits);
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
    figures_.push_back(AbsoluteFigure("filtered logits (N4)", static_cast<double>(golden_.loss.filtered_logits), count(own), 0));
    figures_.push_back({"places of filtered logits", count(filtered), count(own), count(own != filtered), 0});
    const at::Tensor both = filtered | own, want = expected->masked_fill(both, 0), got = logits.masked_fill(both, 0);
    figures_.push_back({"logits", want.abs().max().item<double>(), got.abs().max().item<double>(),
                        (got - want).abs().max().item<double>(), kLogitTolerance});
    return absl::OkStatus();
  }

  at::Tensor Loss() const { return train::ForwardMicroStep(*s_.dataset, *s_.hllm, dist::ProcessGroup::Alone(), batch_).loss; }

  absl::Status LossAndGradients() {
    const GoldenCase::Loss& expected = golden_.loss;
    s_.parameters->ZeroGradients();
    const at::Tensor loss = Loss();
    loss.backward();
    figures_.push_back(
        AbsoluteFigure("valid rows", static_cast<double>(expected.rows), static_cast<double>(batch_.valid_rows), 0));
    figures_.push_back(RelativeFigure("loss", expected.value, loss.item<double>(), kLossTolerance));
    figures_.push_back(AbsoluteFigure("trained tensors (M6)", static_cast<double>(expected.grad_norms.size()),
                                      static_cast<double>(s_.parameters->ranges().size()), 0));
    double squares = 0;
    for (const auto& [name, range] : s_.parameters->ranges()) {
      const double norm = s_.parameters->gradient(name).norm().item<double>();
      squares += norm * norm;
      const auto want = expected.grad_norms.find(name);
      if (want == expected.grad_norms.end())
        return absl::InvalidArgumentError(absl::StrCat("case.json: loss.grad_norms has no ", name, ", which the model trains"));
      figures_.push_back(RelativeFigure(absl::StrCat("gradient norm of ", name), want->second, norm, kGradientTolerance));
    }
    figures_.push_back(RelativeFigure("gradient norm", expected.grad_norm, std::sqrt(squares), kGradientTolerance));
    figures_.push_back(RelativeFigure("gradient of logit_scale", expected.logit_scale_grad,
                                      s_.parameters->gradient("logit_scale").item<double>(), kGradientTolerance));
    return AddGradients();
  }

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
                          (got.reshape(want.sizes()) - want).norm().item<double>() / norm, kGradientTolerance});
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
          RelativeFigure(absl::StrCat("loss at step ", point.step), point.loss, loss.item<double>(), kCurveTolerance));
      if (!point.lr) break;
      loss.backward();
      const double norm = train::ClipGradients(*s_.parameters, kClip);
      figures_.push_back(
          RelativeFigure(absl::StrCat("gradient norm at step ", point.step), *point.grad_norm, norm, kGradientTolerance));
      const double rate = kLearningRate * train::LearningRateFactor(point.step, golden_.training->total_steps, kWarmup);
      figures_.push_back(AbsoluteFigure(absl::StrCat("learning rate at step ", point.step), *point.lr, rate, kExact));
      optimizer.Step(rate);
    }
    figures_.push_back(RelativeFigure("logit_scale after the last step", golden_.training->logit_scale_after,
                                      s_.parameters->weight("logit_scale").item<double>(), kCurveTolerance));
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
