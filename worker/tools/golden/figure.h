// One compared number of a golden case.
//
// Threads: plain data.
#pragma once

#include <cmath>
#include <string>
#include <vector>

namespace pixelrec::tools {

struct Figure {
  std::string name;
  double expected = 0;
  double got = 0;
  double difference = 0;  // in the unit of `tolerance`
  double tolerance = 0;
  bool ok() const { return difference <= tolerance; }  // not-a-number is a miss
};

inline Figure AbsoluteFigure(std::string name, double expected, double got, double tolerance) {
  return {std::move(name), expected, got, std::abs(got - expected), tolerance};
}

inline Figure RelativeFigure(std::string name, double expected, double got, double tolerance) {
  const double difference = expected == 0 ? std::abs(got) : std::abs(got - expected) / std::abs(expected);
  return {std::move(name), expected, got, difference, tolerance};
}

}  // namespace pixelrec::tools
