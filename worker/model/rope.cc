#include "worker/model/rope.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace pixelrec::model {
namespace {

constexpr double kTwoPi = 6.283185307179586;

// theta^(-2d/D), fp32 throughout, as transformers computes them.
at::Tensor PlainFrequencies(double theta, int64_t head_dim) {
  const at::Tensor exponent = at::arange(0, head_dim, 2, at::kFloat) / static_cast<double>(head_dim);
  return at::reciprocal(at::pow(at::scalar_tensor(theta, at::kFloat), exponent));
}

// The base grows with the length, so that the longest wave still spans it.
double DynamicTheta(const Rope& rope, int64_t length, int64_t head_dim) {
  const double positions = static_cast<double>(rope.original_positions), dim = static_cast<double>(head_dim);
  const double stretch = rope.factor * std::max(static_cast<double>(length), positions) / positions - (rope.factor - 1);
  return rope.theta * std::pow(stretch, dim / (dim - 2));
}

// Short waves stay, long ones are stretched by `factor`, those between by a share.
at::Tensor Llama3Frequencies(const Rope& rope, const at::Tensor& frequency) {
  const double positions = static_cast<double>(rope.original_positions);
  const at::Tensor wavelength = kTwoPi / frequency;
  const at::Tensor share = (positions / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
  const at::Tensor between = (1 - share) * frequency / rope.factor + share * frequency;
  const at::Tensor stretched = at::where(wavelength > positions / rope.low_freq_factor, frequency / rope.factor, frequency);
  const at::Tensor is_between =
      (wavelength >= positions / rope.high_freq_factor).logical_and(wavelength <= positions / rope.low_freq_factor);
  return at::where(is_between, between, stretched);
}

// Between the dimensions that turn beta_fast and beta_slow times within the original length, a ramp from plain to stretched.
at::Tensor YarnFrequencies(const Rope& rope, const at::Tensor& frequency, int64_t head_dim) {
  const double dim = static_cast<double>(head_dim);
  const auto dimension_of = [&](double turns) {
    return dim * std::log(static_cast<double>(rope.original_positions) / (turns * kTwoPi)) / (2 * std::log(rope.theta));
  };
  double low = dimension_of(rope.beta_fast), high = dimension_of(rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  const at::Tensor ramp = ((at::arange(0, head_dim / 2, at::kFloat) - low) / (high - low)).clamp(0, 1);
  return frequency / rope.factor * ramp + frequency * (1 - ramp);
}

at::Tensor Frequencies(const Rope& rope, int64_t length, int64_t head_dim) {
  switch (rope.scaling) {
    case RopeScaling::kNone:
      return PlainFrequencies(rope.theta, head_dim);
    case RopeScaling::kLinear:
      return PlainFrequencies(rope.theta, head_dim) / rope.factor;
    case RopeScaling::kDynamic:
      return PlainFrequencies(DynamicTheta(rope, length, head_dim), head_dim);
    case RopeScaling::kLlama3:
      return Llama3Frequencies(rope, PlainFrequencies(rope.theta, head_dim));
    case RopeScaling::kYarn:
      return YarnFrequencies(rope, PlainFrequencies(rope.theta, head_dim), head_dim);
  }
  TORCH_CHECK(false, "unknown rope scaling");
}

RotaryTable TableOf(const at::Tensor& frequency, double amplitude, int64_t positions, const at::Device& device) {
  const at::Tensor angle = at::outer(at::arange(positions, at::kFloat), frequency);
  return {(angle.cos() * amplitude).to(device), (angle.sin() * amplitude).to(device), {}};
}

}  // namespace

RotaryTable MakeRotaryTable(const Rope& rope, int64_t positions, int64_t head_dim, const at::Device& device) {
  return TableOf(Frequencies(rope, 0, head_dim), rope.attention_factor, positions, device);
}

RotaryTable MakeIdentityTable(int64_t positions, int64_t head_dim, const at::Device& device) {
  const at::TensorOptions fp32 = at::TensorOptions(at::kFloat).device(device);
  return {at::ones({positions, head_dim / 2}, fp32), at::zeros({positions, head_dim / 2}, fp32), {}};
}

RotaryTable TableForSegments(const Rope& rope, const RotaryTable& base, const Segments& segments) {
  if (rope.scaling != RopeScaling::kDynamic) return base;
  RotaryTable table;
  std::vector<at::Tensor> cos{base.cos}, sin{base.sin};
  std::map<int64_t, int64_t> row_of_length;
  int64_t rows = base.cos.size(0);
  for (int64_t s = 0; s < segments.count(); ++s) {
    const int64_t length = segments.length(s);
    if (length <= rope.original_positions) {
      table.first_rows.push_back(0);
      continue;
    }
    const auto [found, is_new] = row_of_length.emplace(length, rows);
    table.first_rows.push_back(found->second);
    if (!is_new) continue;
    const RotaryTable own =
        TableOf(Frequencies(rope, length, 2 * base.cos.size(1)), rope.attention_factor, length, base.cos.device());
    cos.push_back(own.cos);
    sin.push_back(own.sin);
    rows += length;
  }
  table.cos = at::cat(cos);
  table.sin = at::cat(sin);
  return table;
}

at::Tensor Rotate(const at::Tensor& x_NHD, const at::Tensor& rows, const RotaryTable& rotary) {
  const at::Tensor cos = rotary.cos.index_select(0, rows).unsqueeze(1).to(x_NHD.scalar_type());
  const at::Tensor sin = rotary.sin.index_select(0, rows).unsqueeze(1).to(x_NHD.scalar_type());
  const auto halves = x_NHD.chunk(2, -1);
  return at::cat({halves[0] * cos - halves[1] * sin, halves[1] * cos + halves[0] * sin}, -1);
}

}  // namespace pixelrec::model
