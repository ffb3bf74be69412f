// A curve of the loss in a few lines of characters.
//
// Threads: pure functions, but for LossCurve: one at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace pixelrec::ctl {

// The losses of a job so far, in bounded memory.
class LossCurve {
 public:
  struct Point {
    int64_t step = 0;
    double loss = 0;
  };

  // A step that is not behind the last one is done again, after a checkpoint: what is known of it and of later ones goes. A loss
  // that isn't finite is left out.
  void Add(int64_t step, double loss);
  const std::vector<Point>& points() const { return points_; }

 private:
  std::vector<Point> points_;  // by step
};

// `height` lines of at most `width` columns: the range of the losses on the left, then a column for each equal part of the steps,
// as high as the mean of its losses. Empty where there is nothing to draw, or no room. `utf8`: block characters, else ASCII.
std::vector<std::string> DrawCurve(const std::vector<LossCurve::Point>& points, int width, int height, bool utf8);

}  // namespace pixelrec::ctl
