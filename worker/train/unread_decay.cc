#include "worker/train/unread_decay.h"

#include <algorithm>

#include "worker/train/parameter_groups.h"

namespace pixelrec::train {

UnreadDecay::UnreadDecay(const TrainJob& job, const checkpoint::DecoderConfig& item_llm) : weight_decay_(job.weight_decay) {
  if (!job.compat.decay_unread) return;
  const auto frozen = [&](const std::string& side) {
    return std::find(job.freeze.begin(), job.freeze.end(), side) != job.freeze.end();
  };
  std::vector<std::string> names;
  // A tied head is the token embeddings, which the item LLM reads; an encoder has none.
  const bool own_head = !item_llm.tie_word_embeddings && !item_llm.is_encoder();
  if (own_head && !frozen("item_llm")) names.emplace_back("item_llm.lm_head.weight");
  if (!frozen("user_llm")) names.insert(names.end(), {"user_llm.embed_tokens.weight", "user_llm.lm_head.weight"});
  for (const std::string& name : names) {
    const std::pair<std::string, double>* const longest = LongestPrefix(name, job.lr_mult_prefix);
    lr_factors_[name] = longest == nullptr ? 1 : longest->second;
    factors_[name] = 1;
  }
}

void UnreadDecay::Step(double learning_rate) {
  for (auto& [name, factor] : factors_) factor *= 1 - learning_rate * lr_factors_.at(name) * weight_decay_;
}

void UnreadDecay::Restore(const checkpoint::UnreadDecay& saved) {
  for (auto& [name, factor] : factors_) {
    if (const auto found = saved.find(name); found != saved.end()) factor = found->second;
  }
}

}  // namespace pixelrec::train
