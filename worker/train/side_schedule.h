// One model's passes as calls to the exchange of units: unit numbers of the model become those of the whole HLLM.
//
// Threads: as dist::UnitExchange.
#pragma once

#include <cstddef>

#include "worker/dist/unit_exchange.h"
#include "worker/model/weight_schedule.h"

namespace pixelrec::train {

class SideSchedule : public model::WeightSchedule {
 public:
  // `first_layer`: the unit of layer 0. A side whose embeddings aren't trained (the user LLM, rule M6) has no unit for them.
  SideSchedule(dist::UnitExchange& exchange, size_t first_layer, bool has_embeddings)
      : exchange_(exchange), first_layer_(first_layer), has_embeddings_(has_embeddings) {}

  void BeforeForward(size_t unit) override {
    if (Exists(unit)) exchange_.BeforeForward(Global(unit));
  }
  void AfterForward(size_t unit) override {
    if (Exists(unit)) exchange_.AfterForward(Global(unit));
  }
  void BeforeBackward(size_t unit) override {
    if (Exists(unit)) exchange_.BeforeBackward(Global(unit));
  }
  void AfterBackward(size_t unit) override {
    if (Exists(unit)) exchange_.AfterBackward(Global(unit));
  }

 private:
  bool Exists(size_t unit) const { return unit > 0 || has_embeddings_; }
  size_t Global(size_t unit) const { return first_layer_ + unit - 1; }

  dist::UnitExchange& exchange_;
  size_t first_layer_;
  bool has_embeddings_;
};

}  // namespace pixelrec::train
