#include "tests/coordinator/simulator/trace.h"

#include <cstdlib>
#include <iostream>

#include "absl/strings/str_format.h"

namespace pixelrec::simulator {

namespace {

// All of a run, as it happens, for whoever looks into one.
const bool kAloud = std::getenv("PIXELREC_SIMULATOR_ALOUD") != nullptr;

std::string InWords(microseconds when, const std::string& text) {
  return absl::StrFormat("%12.6f s  %s\n", ToSeconds(when), text);
}

}  // namespace

void Trace::Add(std::string text) {
  const auto mix = [this](uint64_t value) { digest_ = (digest_ ^ value) * 1099511628211ULL; };
  mix(static_cast<uint64_t>(timeline_.now().count()));
  for (char c : text) mix(static_cast<unsigned char>(c));
  if (kAloud) std::cout << InWords(timeline_.now(), text);
  lines_.push_back({timeline_.now(), std::move(text)});
  if (lines_.size() > kKept) lines_.pop_front();
}

std::string Trace::Last() const {
  std::string text;
  for (const Line& line : lines_) text += InWords(line.when, line.text);
  return text;
}

}  // namespace pixelrec::simulator
