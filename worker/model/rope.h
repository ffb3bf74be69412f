// Rotary positions as tables of cosines and sines, plain or stretched (rule M5; scalings as transformers computes them).
//
// Threads: any; tables are immutable.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "worker/model/description.h"
#include "worker/model/segments.h"

namespace pixelrec::model {

// cos and sin of position * frequency, [rows, D/2] fp32; row p is position p of a segment that starts at row 0 of the table.
struct RotaryTable {
  at::Tensor cos;
  at::Tensor sin;
  // Dynamic scaling alone: row of each segment's position 0. Empty: 0 for all.
  std::vector<int64_t> first_rows;

  int64_t first_row(int64_t segment) const { return first_rows.empty() ? 0 : first_rows[static_cast<size_t>(segment)]; }
};

// Positions 0 .. `positions` - 1. Dynamic scaling: as for a sequence no longer than original_positions.
RotaryTable MakeRotaryTable(const Rope& rope, int64_t positions, int64_t head_dim, const at::Device& device);

// No rotation at all, for models with learned positions.
RotaryTable MakeIdentityTable(int64_t positions, int64_t head_dim, const at::Device& device);

// The table that these segments need. Dynamic scaling stretches by the length of the sequence: here of each segment by itself, as
// transformers does with one sequence alone, so that what it is packed with changes nothing. `base` is MakeRotaryTable's.
RotaryTable TableForSegments(const Rope& rope, const RotaryTable& base, const Segments& segments);

// x_NHD with each row rotated by the angles of its row of the table (half-split, rule M5). rows: [N] int64, on x's device.
at::Tensor Rotate(const at::Tensor& x_NHD, const at::Tensor& rows, const RotaryTable& rotary);

}  // namespace pixelrec::model
