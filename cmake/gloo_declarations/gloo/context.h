// Declarations only. The LibTorch wheel contains Gloo but not its headers, which c10d's ProcessGroupGloo.hpp includes.
// This project holds nothing but opaque pointers to these types; their definitions live in libtorch_cpu.so.
#pragma once
#include <chrono>
#include <memory>

namespace gloo {
class Context {
 public:
  void setTimeout(std::chrono::milliseconds timeout);
};
namespace transport {
class UnboundBuffer;
class Device;
}  // namespace transport
}  // namespace gloo
