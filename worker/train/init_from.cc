#include "worker/train/init_from.h"

#include <algorithm>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/model/hllm.h"
#include "worker/train/tensor_bytes.h"

namespace pixelrec::train {
namespace {

constexpr size_t kNamed = 8;

// The first few; hundreds say no more.
std::string Listed(const std::vector<std::string>& names) {
  const size_t shown = std::min(kNamed, names.size());
  const std::string list = absl::StrJoin(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", ");
  return names.size() > shown ? absl::StrCat(list, " and ", names.size() - shown, " more") : list;
}

std::string ShapeText(const std::vector<int64_t>& shape) { return absl::StrCat("[", absl::StrJoin(shape, ", "), "]"); }

bool IsScalar(const std::vector<int64_t>& shape) {
  return std::all_of(shape.begin(), shape.end(), [](int64_t size) { return size == 1; });
}

// Some programs keep the scale as a vector of one element.
bool Fits(const std::vector<int64_t>& stored, const std::vector<int64_t>& wanted) {
  return stored == wanted || (wanted.empty() && IsScalar(stored));
}

absl::Status CheckTensors(const checkpoint::HllmWeights& weights, const dist::FlatParameters& parameters) {
  std::vector<std::string> missing, wrong;
  for (const auto& [name, range] : parameters.ranges()) {
    const auto found = weights.tensors.find(name);
    if (found == weights.tensors.end()) {
      missing.push_back(name);
      continue;
    }
    const checkpoint::TensorInfo& tensor = found->second;
    if (tensor.dtype != "F32" && tensor.dtype != "BF16" && tensor.dtype != "F16") {
      wrong.push_back(absl::StrCat(name, " (", tensor.dtype, ", expected F32, F16 or BF16)"));
    } else if (!Fits(tensor.shape, range.shape)) {
      wrong.push_back(absl::StrCat(name, " (", ShapeText(tensor.shape), ", expected ", ShapeText(range.shape), ")"));
    }
  }
  if (missing.empty() && wrong.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      weights.path.string(), " (", weights.description, ") doesn't fit the model of item_model_dir and user_model_dir: ",
      missing.empty() ? "" : absl::StrCat("missing: ", Listed(missing)), missing.empty() || wrong.empty() ? "" : "; ",
      wrong.empty() ? "" : absl::StrCat("different: ", Listed(wrong))));
}

}  // namespace

absl::StatusOr<std::string> InitFrom(const std::filesystem::path& path, dist::FlatParameters& parameters) {
  const auto named = [](const absl::Status& status) {
    return absl::Status(status.code(), absl::StrCat("init_from: ", status.message()));
  };
  auto weights = checkpoint::OpenHllmWeights(path);
  if (!weights.ok()) return named(weights.status());
  auto summary = CopyWeights(*weights, parameters);
  if (!summary.ok()) return named(summary.status());
  return summary;
}

absl::StatusOr<std::string> CopyWeights(const checkpoint::HllmWeights& weights, dist::FlatParameters& parameters) {
  if (auto status = CheckTensors(weights, parameters); !status.ok()) return status;
  std::vector<std::string> unused;
  for (const auto& [name, tensor] : weights.tensors) {
    if (!parameters.ranges().contains(name)) {
      unused.push_back(name);
      continue;
    }
    at::Tensor weight = parameters.weight(name);
    weight.copy_(TensorOf(tensor).view(weight.sizes()));
  }
  for (const auto& [name, why] : weights.ignored) unused.push_back(name);
  if (parameters.ranges().contains("logit_scale")) parameters.weight("logit_scale").clamp_(0, model::kMaxLogitScale);  // rule W14
  std::string summary = absl::StrCat("weights start from ", weights.path.string(), " (", weights.description, ")");
  if (!unused.empty()) absl::StrAppend(&summary, "; not trained and therefore not used: ", Listed(unused));
  return summary;
}

}  // namespace pixelrec::train
