// A stopwatch that is read again and again.
#pragma once

#include <chrono>
#include <utility>

namespace pixelrec::train {

// Seconds since the last call, or since construction.
class Lap {
 public:
  double operator()() {
    const auto now = std::chrono::steady_clock::now();
    return std::chrono::duration<double>(now - std::exchange(start_, now)).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace pixelrec::train
