// One rank's micro-step, forward and back, and the update after it, as worker/train makes them: tensor by tensor.
//
// Threads: one at a time. Units: bytes.
#pragma once

#include <cstdint>
#include <vector>

#include "worker/plan/batch_shape.h"
#include "worker/plan/decoder_pass.h"
#include "worker/plan/loss_pass.h"
#include "worker/plan/model_settings.h"
#include "worker/plan/unit_traffic.h"

namespace pixelrec::plan {

class MicroStep {
 public:
  // `layout` must outlive this.
  MicroStep(const ModelSettings& model, const BatchShape& shape, bool checkpointing, const dist::UnitLayout& layout,
            int world_size);
  MicroStep(const MicroStep&) = delete;  // its parts refer to each other

  // The most that is alive at once, of what wasn't before and isn't after. Call it once.
  int64_t Peak();

 private:
  DecoderPass::Borders Forwards(size_t first);
  DecoderPass::Borders Backwards(size_t first);
  void EmbedItems(const DecoderPass& items);
  void ReturnToEmbeddings(const DecoderPass& items);
  int64_t Embedded(const DecoderPass& items) const;
  void EncodeWithGraph(const DecoderPass& items);
  void EncodeAlone(const DecoderPass& items);
  void Return(const DecoderPass& items);
  // Users and loss; the items' embeddings are held before. Forward, then back to the embeddings' gradient.
  void Score();
  void ReturnToItems();

  const ModelSettings& model_;
  int64_t items_;  // embeddings of all items
  std::vector<DecoderPass> passes_;
  DecoderPass users_;
  LossPass loss_;
  Timeline timeline_;
  UnitTraffic traffic_;
};

}  // namespace pixelrec::plan
