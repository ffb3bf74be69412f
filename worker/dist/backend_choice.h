// spec.distributed.backend: what moves tensors between ranks, and with it what they compute on.
#pragma once

namespace pixelrec::dist {

enum class BackendChoice {
  kAuto,  // NCCL where every rank has a GPU of its own, else Gloo
  kGloo,  // every rank on its CPU
  kNccl,  // every rank on a GPU of its own
};

}  // namespace pixelrec::dist
