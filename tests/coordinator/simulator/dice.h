// Where every accident of a run comes from: numbers that follow from the seed alone, alike with every compiler and library.
#pragma once

#include <chrono>
#include <cmath>
#include <cstdint>

namespace pixelrec::simulator {

using std::chrono::microseconds;

constexpr microseconds Seconds(double seconds) { return microseconds(static_cast<int64_t>(seconds * 1e6)); }
constexpr double ToSeconds(microseconds duration) { return static_cast<double>(duration.count()) / 1e6; }

class Dice {
 public:
  explicit Dice(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ULL + 0x632be59bd9b4e019ULL) {}

  uint64_t Next() {  // splitmix64
    uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  // [0, 1)
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1p-53; }
  int Below(int n) { return static_cast<int>(Next() % static_cast<uint64_t>(n)); }
  int Between(int low, int high) { return low + Below(high - low + 1); }
  bool Chance(double probability) { return Uniform() < probability; }
  microseconds Between(microseconds low, microseconds high) {
    return low + microseconds(static_cast<int64_t>(Uniform() * static_cast<double>((high - low).count())));
  }
  // Between `low` and `high`, every order of magnitude alike.
  microseconds Spread(microseconds low, microseconds high) {
    const double l = std::log(static_cast<double>(low.count())), h = std::log(static_cast<double>(high.count()));
    return microseconds(static_cast<int64_t>(std::exp(l + Uniform() * (h - l))));
  }
  // Until the next of events that come by chance, on average one each `mean`.
  microseconds Wait(microseconds mean) {
    return microseconds(static_cast<int64_t>(-std::log(1 - Uniform()) * static_cast<double>(mean.count())));
  }
  // A stream of its own.
  Dice Split() { return Dice(Next()); }

 private:
  uint64_t state_;
};

}  // namespace pixelrec::simulator
