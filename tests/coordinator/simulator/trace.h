// What happened, in words: the last events of a run, for whoever reads of a failure, and a digest of all of them, by which two
// runs are compared. Also the verdict: the first broken promise.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/coordinator/simulator/timeline.h"

namespace pixelrec::simulator {

class Trace {
 public:
  explicit Trace(const Timeline& timeline) : timeline_(timeline) {}

  template <typename... Words>
  void Say(const Words&... words) {
    Add(absl::StrCat(words...));
  }
  // The first one counts; the run ends with it.
  template <typename... Words>
  void Break(const Words&... words) {
    if (!broken_.has_value()) {
      broken_ = absl::StrCat(words...);
      Add(absl::StrCat("BROKEN: ", *broken_));
    }
  }

  microseconds now() const { return timeline_.now(); }
  const std::optional<std::string>& broken() const { return broken_; }
  uint64_t digest() const { return digest_; }
  // One line each, with the virtual time.
  std::string Last() const;

 private:
  static constexpr size_t kKept = 60;
  struct Line {
    microseconds when;
    std::string text;
  };
  void Add(std::string text);

  const Timeline& timeline_;
  std::deque<Line> lines_;
  uint64_t digest_ = 14695981039346656037ULL;
  std::optional<std::string> broken_;
};

}  // namespace pixelrec::simulator
