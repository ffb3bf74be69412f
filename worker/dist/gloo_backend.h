// Collectives between CPUs.
//
// Private to this folder. Collective: every rank must call it. Errors: throws c10::Error and Gloo's own exceptions.
#pragma once

#include <chrono>
#include <string>

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

namespace pixelrec::dist {

c10::intrusive_ptr<c10d::Backend> MakeGloo(const c10::intrusive_ptr<c10d::Store>& store, int rank, int world_size,
                                           const std::string& host_address, std::chrono::milliseconds timeout);

}  // namespace pixelrec::dist
