// Adds up the time that training stands still for something.
//
// Threads: one.
#pragma once

#include <chrono>
#include <functional>
#include <utility>

namespace pixelrec::train {

class StallClock {
 public:
  using Now = std::function<std::chrono::steady_clock::time_point()>;
  explicit StallClock(Now now = std::chrono::steady_clock::now) : now_(std::move(now)) {}

  // Runs from here to its end; one within another counts once.
  class Scope {
   public:
    explicit Scope(StallClock& clock) : clock_(clock) {
      if (clock_.depth_++ == 0) clock_.since_ = clock_.now_();
    }
    ~Scope() {
      if (--clock_.depth_ == 0) clock_.done_ += clock_.now_() - clock_.since_;
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    StallClock& clock_;
  };

  // Up to now.
  double seconds() const {
    const auto running = depth_ > 0 ? now_() - since_ : std::chrono::steady_clock::duration(0);
    return std::chrono::duration<double>(done_ + running).count();
  }

 private:
  const Now now_;
  std::chrono::steady_clock::duration done_{0};
  std::chrono::steady_clock::time_point since_{};
  int depth_ = 0;
};

}  // namespace pixelrec::train
