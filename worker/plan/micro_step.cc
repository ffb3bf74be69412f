#include "worker/plan/micro_step.h"

namespace pixelrec::plan {
namespace {

constexpr size_t kFirstItemLayer = 1;  // unit 0: the embeddings

Numbers NumbersOf(const ModelSettings& model, bool trained) {
  return {.bytes = model.widths.weights, .fused = model.fused, .trained = trained};
}

}  // namespace

MicroStep::MicroStep(const ModelSettings& model, const BatchShape& shape, bool checkpointing, const dist::UnitLayout& layout,
                     int world_size)
    : model_(model),
      items_(shape.items() * model.item_llm.hidden_size * model.widths.embeddings),
      users_(model.user_llm, NumbersOf(model, model.user_trained), {{.tokens = shape.pairs, .items = shape.rows}}, false,
             checkpointing),
      loss_(shape, model.item_llm.hidden_size, model.widths, world_size),
      traffic_(layout, model.widths, world_size, timeline_) {
  for (const std::vector<BatchShape::Part>& parts : shape.passes)
    passes_.emplace_back(model.item_llm, NumbersOf(model, model.item_trained), parts, model.item_emb_token_n > 0, checkpointing);
}

DecoderPass::Borders MicroStep::Forwards(size_t first) {
  return {.before = [this, first](size_t layer) { traffic_.BeforePass(first + layer); },
          .after = [this, first](size_t layer) { traffic_.AfterPass(first + layer); }};
}

DecoderPass::Borders MicroStep::Backwards(size_t first) {
  return {.before = [this, first](size_t layer) { traffic_.BeforeBackward(first + layer); },
          .after = [this, first](size_t layer) { traffic_.AfterBackward(first + layer); }};
}

// Token embeddings, the embedding tokens' rows overwritten in a copy (rule M2).
void MicroStep::EmbedItems(const DecoderPass& items) {
  const int64_t copies = (model_.item_emb_token_n > 0 ? 1 : 0) + (model_.item_llm.scale_embeddings ? 1 : 0);
  traffic_.BeforePass(0);
  timeline_.Touch(copies > 0 ? 2 * items.input() : items.input());
  timeline_.Hold(items.input());
  traffic_.AfterPass(0);
}

// The gradient of a table of embeddings is a table.
void MicroStep::ReturnToEmbeddings(const DecoderPass& items) {
  traffic_.BeforeBackward(0);
  if (model_.item_emb_token_n > 0) timeline_.Touch(items.input());
  const int64_t table = model_.item_llm.vocab_size * model_.item_llm.hidden_size * model_.widths.gradients;
  const bool converts = model_.widths.gradients != model_.widths.weights;
  const int64_t converted = converts ? items.input() / model_.widths.weights * model_.widths.gradients : 0;
  timeline_.Touch(model_.item_trained ? table + converted : 0);
  timeline_.Release(items.input());
  traffic_.AfterBackward(0);
}

// A pass's share of the embeddings: its outputs, in another type or, pooled, a mean of many.
int64_t MicroStep::Embedded(const DecoderPass& items) const {
  return items.sequences() * model_.item_llm.hidden_size * model_.widths.embeddings;
}

void MicroStep::EncodeWithGraph(const DecoderPass& items) {
  EmbedItems(items);
  items.Forward(Forwards(kFirstItemLayer), timeline_);
  if (Embedded(items) == items.output()) return;
  timeline_.Hold(Embedded(items));
  timeline_.Release(items.output());
}

void MicroStep::EncodeAlone(const DecoderPass& items) {
  EmbedItems(items);
  items.ForwardAlone(timeline_);
  timeline_.Hold(Embedded(items));
  timeline_.Release(items.output());
}

// From the embeddings' gradient down to the weights'.
void MicroStep::Return(const DecoderPass& items) {
  if (Embedded(items) != items.output()) {
    timeline_.Hold(items.output());
    timeline_.Release(Embedded(items));
  }
  items.Backward(Backwards(kFirstItemLayer), timeline_);
  ReturnToEmbeddings(items);
  traffic_.Finish();
}

void MicroStep::Score() {
  loss_.GatherNegatives(timeline_);
  timeline_.Hold(users_.input());
  if (model_.widths.embeddings != model_.widths.weights)
    timeline_.Touch(users_.input() / model_.widths.weights * model_.widths.embeddings);
  users_.Forward(Forwards(kFirstItemLayer + static_cast<size_t>(model_.item_llm.num_hidden_layers)), timeline_);
  loss_.Forward(timeline_);
}

void MicroStep::ReturnToItems() {
  loss_.Backward(timeline_);
  users_.Backward(Backwards(kFirstItemLayer + static_cast<size_t>(model_.item_llm.num_hidden_layers)), timeline_);
  loss_.ReturnToItems(timeline_);
}

int64_t MicroStep::Peak() {
  if (passes_.size() == 1) {
    EncodeWithGraph(passes_.front());
    Score();
    // The embeddings themselves go with the forward pass: everything later reads the rows taken from them.
    timeline_.Release(items_);
    ReturnToItems();
    Return(passes_.front());
  } else {
    // worker/train/grad_cache.h: the embeddings of all passes, their gradient, then each pass again.
    for (const DecoderPass& pass : passes_) EncodeAlone(pass);
    timeline_.Touch(items_);
    Score();
    ReturnToItems();
    for (const DecoderPass& pass : passes_) {
      EncodeWithGraph(pass);
      Return(pass);
    }
    timeline_.Release(2 * items_);
  }
  traffic_.Update();
  return timeline_.peak();
}

}  // namespace pixelrec::plan
