// Language models of several families, small, for arithmetic about them.
#pragma once

#include "worker/checkpoint/decoder_config.h"

namespace pixelrec::plan {

inline checkpoint::DecoderConfig SmallLlama(int64_t layers = 3) {
  checkpoint::DecoderConfig config;
  config.model_type = "llama";
  config.hidden_size = 64;
  config.intermediate_size = 160;
  config.num_hidden_layers = layers;
  config.num_attention_heads = 8;
  config.num_key_value_heads = 4;
  config.head_dim = 8;
  config.vocab_size = 1000;
  return config;
}

inline checkpoint::DecoderConfig SmallQwen3() {
  checkpoint::DecoderConfig config = SmallLlama();
  config.model_type = "qwen3";
  config.qk_norm = true;
  return config;
}

inline checkpoint::DecoderConfig SmallGemma3() {
  checkpoint::DecoderConfig config = SmallQwen3();
  config.model_type = "gemma3_text";
  config.norm = model::Norm::kRmsOnePlus;
  config.activation = model::Activation::kGeluTanh;
  config.scale_embeddings = true;
  config.sandwich_norms = true;
  return config;
}

inline checkpoint::DecoderConfig SmallBert() {
  checkpoint::DecoderConfig config = SmallLlama();
  config.model_type = "bert";
  config.num_key_value_heads = config.num_attention_heads;
  config.causal = false;
  config.norm = model::Norm::kLayer;
  config.activation = model::Activation::kGelu;
  config.gated_mlp = false;
  config.qkv_bias = config.o_bias = config.mlp_bias = true;
  config.learned_positions = 128;
  config.type_vocab_size = 2;
  return config;
}

}  // namespace pixelrec::plan
