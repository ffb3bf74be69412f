#include "worker/checkpoint/hllm_units.h"

#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/checkpoint/decoder_tensors.h"

namespace pixelrec::checkpoint {
namespace {

// Leaves are named after what they are to the layer function, tensors after their names in files.
dist::Unit UnitOf(const std::vector<ModelTensor>& tensors, const std::string& side, const std::string& leaf_prefix) {
  dist::Unit unit{.name = leaf_prefix, .leaves = {}, .stage = 0};
  for (const ModelTensor& tensor : tensors) {
    dist::Leaf leaf{leaf_prefix + tensor.role, {}};
    for (const TensorSpec& part : tensor.parts) leaf.parts.push_back({absl::StrCat(side, ".", part.name), part.shape});
    unit.leaves.push_back(std::move(leaf));
  }
  return unit;
}

void Append(dist::Unit&& more, dist::Unit& unit) {
  for (dist::Leaf& leaf : more.leaves) unit.leaves.push_back(std::move(leaf));
}

}  // namespace

std::vector<dist::Unit> HllmUnits(const DecoderConfig& item_llm, const DecoderConfig& user_llm, int64_t item_emb_token_n,
                                  int item_zero_stage, int user_zero_stage) {
  const auto single = [](const std::string& name, std::vector<int64_t> shape) {
    return dist::Leaf{name, {{name, std::move(shape)}}};
  };
  const DecoderLayout item = LayoutOf(item_llm), user = LayoutOf(user_llm);
  std::vector<dist::Unit> units;
  units.push_back(UnitOf(item.embeddings, "item_llm", "item_llm."));
  units.back().stage = item_zero_stage;
  for (const auto& [side, layout, stage] :
       {std::tuple("item_llm", &item, item_zero_stage), std::tuple("user_llm", &user, user_zero_stage)}) {
    for (size_t i = 0; i < layout->layers.size(); ++i) {
      units.push_back(UnitOf(layout->layers[i], side, absl::StrCat(side, ".layers.", i, ".")));
      units.back().stage = stage;
    }
  }
  dist::Unit head{.name = "head", .leaves = {}, .stage = 0, .keeps_masters = true};
  Append(UnitOf(item.head, "item_llm", "item_llm."), head);
  Append(UnitOf(user.head, "user_llm", "user_llm."), head);
  head.leaves.push_back(single("item_emb_tokens", {1, item_emb_token_n, item_llm.hidden_size}));
  head.leaves.push_back(single("logit_scale", {}));
  units.push_back(std::move(head));
  return units;
}

}  // namespace pixelrec::checkpoint
