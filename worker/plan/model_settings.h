// What decides about memory besides the batch and the layout of units.
//
// Threads: plain data.
#pragma once

#include <cstdint>

#include "worker/checkpoint/decoder_config.h"
#include "worker/plan/state_memory.h"

namespace pixelrec::plan {

struct ModelSettings {
  checkpoint::DecoderConfig item_llm;
  checkpoint::DecoderConfig user_llm;
  int64_t item_emb_token_n = 1;
  Widths widths;
  bool fused = true;         // see Numbers
  bool item_trained = true;  // not frozen
  bool user_trained = true;
};

}  // namespace pixelrec::plan
