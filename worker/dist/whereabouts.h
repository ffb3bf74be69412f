// What this rank is doing, for whoever watches it for hangs: the section of its work, how long for, how long that usually takes,
// and how many collectives it has come to. Among ranks that wait for each other the one to blame is the one that came to the
// fewest.
//
// Threads: any.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>

namespace pixelrec::dist {

// The numbers are those of v1::TrainerSection.
enum class Section {
  kLoad = 1,
  kData = 2,
  kForward = 3,
  kBackward = 4,
  kReduce = 5,
  kOptimize = 6,
  kCopyCheckpoint = 7,
  kWriteCheckpoint = 8,
  kWriteModel = 9,
  kAwaitCommit = 10,
  kEncode = 11,
  kValidate = 12,
  kRank = 13,
  kReport = 14,
  kPrepare = 15,
};

class Whereabouts {
 public:
  using Time = std::chrono::steady_clock::time_point;
  struct Place {
    Section section = Section::kLoad;
    int64_t step = 0;         // optimiser steps done
    uint64_t collective = 0;  // that this rank has come to
    bool waits = false;       // for the other ranks
    Time since;               // in the section, less what it waited there; of a rank that waits, since the wait began
    // Median of the section's last 31 durations, waits left out; of a rank that waits, of whole steps. Nothing: fewer than three.
    std::optional<std::chrono::nanoseconds> typical;
  };
  struct Options {
    std::function<void(const Place&)> publish = [](const Place&) {};  // called under a lock, at every change
    std::function<Time()> now = [] { return std::chrono::steady_clock::now(); };
  };

  explicit Whereabouts(Options options);

  // Ends the section in hand, counts its duration, and begins another, or the same once more: so say long ones that they advance.
  void Enter(Section section);
  // Steps done so far; one is about to begin. What lies between two steps that follow each other is a step's duration.
  void BeginStep(int64_t steps_done);
  void EndStep();

  // For process groups.
  void Arrive();
  void BeginWait();
  void EndWait();

 private:
  class Durations {
   public:
    void Add(std::chrono::nanoseconds duration);
    std::optional<std::chrono::nanoseconds> Median() const;

   private:
    std::deque<std::chrono::nanoseconds> newest_;
  };
  void Publish();

  const Options options_;
  std::mutex mutex_;
  Place place_;
  Time section_since_;  // moved on by what was waited
  Time wait_since_;
  Time step_since_;
  std::map<Section, Durations> sections_;
  Durations steps_;
};

}  // namespace pixelrec::dist
