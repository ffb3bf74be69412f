// A measured difference that docs/fidelity.md shows: printed in a form that tests/structure/fidelity_table.py reads, and
// asserted.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <string>

namespace pixelrec {

// rule: its id ("W16"); what: the figure, without '|'; `difference` must not exceed `tolerance`.
inline void ExpectWithin(const std::string& rule, const std::string& what, double difference, double tolerance) {
  std::printf("fidelity %s | %s | %.1e | %g\n", rule.c_str(), what.c_str(), difference, tolerance);
  EXPECT_LE(difference, tolerance) << rule << ": " << what;
}

}  // namespace pixelrec
