#include <algorithm>
#include <cmath>
#include <vector>

#include "worker/model/cpu_kernels.h"
#include "worker/model/cpu_vector.h"

namespace pixelrec::model::cpu {

// Attention. A tile is as many queries of one head as there are lanes: softmax then needs no sums across lanes, and every product
// is a broadcast of a key's or value's element times a vector of queries, whatever the head_dim.
namespace {

struct Scratch {
  std::vector<float> keys;      // [length, D], rotated, of one kv head
  std::vector<float> tile;      // [D, lanes] queries of the tile, rotated and scaled
  std::vector<float> tile_out;  // [D, lanes]
  std::vector<float> weights;   // [length, lanes]
  std::vector<float> dweights;  // [length, lanes]
  std::vector<float> dkeys;     // [length, D]
  std::vector<float> dvalues;   // [length, D]
};

Scratch& ThreadScratch(int64_t length, int64_t dim, int64_t lanes) {
  thread_local Scratch scratch;
  const auto grow = [](std::vector<float>& v, int64_t n) {
    if (v.size() < static_cast<size_t>(n)) v.resize(static_cast<size_t>(n));
  };
  grow(scratch.keys, length * dim);
  grow(scratch.tile, dim * lanes);
  grow(scratch.tile_out, dim * lanes);
  grow(scratch.weights, length * lanes);
  grow(scratch.dweights, length * lanes);
  grow(scratch.dkeys, length * dim);
  grow(scratch.dvalues, length * dim);
  return scratch;
}

// Half-split rotation of one head row (rule M5): (a, b) -> (a cos - b sin, b cos + a sin); sign -1 undoes it.
PIXELREC_INLINE void Rotate(const float* in, const float* cos, const float* sin, float sign, int64_t dim, float* out) {
  const int64_t half = dim / 2;
#pragma GCC ivdep
  for (int64_t d = 0; d < half; ++d) {
    const float a = in[d], b = in[half + d], s = sign * sin[d];
    out[d] = a * cos[d] - b * s;
    out[half + d] = b * cos[d] + a * s;
  }
}

PIXELREC_INLINE void RotateKeys(const AttentionShape& shape, const float* k, float* keys) {
  const int64_t half = shape.head_dim / 2;
  for (int64_t j = 0; j < shape.length; ++j) {
    Rotate(k + j * shape.kv_stride, shape.cos + j * half, shape.sin + j * half, 1, shape.head_dim, keys + j * shape.head_dim);
  }
}

// Queries `first` .. of one head into lanes: tile[d][lane] = scale * rotated q. Lanes past the last query repeat it.
template <int64_t kLanes>
PIXELREC_INLINE void LoadQueryTile(const AttentionShape& shape, const float* q, int64_t first, int64_t last, float* tile) {
  const int64_t dim = shape.head_dim, half = dim / 2;
  for (int64_t lane = 0; lane < kLanes; ++lane) {
    const int64_t i = std::min(first + lane, last);
    const float* row = q + (i - shape.first_query) * shape.q_stride;
    const float* cos = shape.cos + i * half;
    const float* sin = shape.sin + i * half;
    for (int64_t d = 0; d < half; ++d) {
      const float a = row[d], b = row[half + d];
      tile[d * kLanes + lane] = (a * cos[d] - b * sin[d]) * shape.scale;
      tile[(half + d) * kLanes + lane] = (b * cos[d] + a * sin[d]) * shape.scale;
    }
  }
}

// score[lane] = key . tile[.][lane]
template <int64_t kLanes>
PIXELREC_INLINE void Score(Vec<kLanes>& score, const float* key, const float* tile, int64_t dim) {
  Vec<kLanes> even = {}, odd = {};
  for (int64_t d = 0; d < dim; d += 2) {  // two chains hide the latency of the multiply-add
    Vec<kLanes> q;
    Load(q, tile + d * kLanes);
    even += q * key[d];
    Load(q, tile + (d + 1) * kLanes);
    odd += q * key[d + 1];
  }
  score = even + odd;
}

// score -> c tanh(score / c), by tanh(x) = 1 - 2 / (1 + exp(2x)).
template <int64_t kLanes>
PIXELREC_INLINE void SoftCap(Vec<kLanes>& score, float cap) {
  score *= 2.0F / cap;
  Exp<kLanes>(score);
  score = cap - (2.0F * cap) / (1.0F + score);
}

// Keys [begin, end) that some query of first .. last sees.
struct KeyRange {
  int64_t begin;
  int64_t end;
};
PIXELREC_INLINE KeyRange VisibleKeys(const AttentionShape& shape, int64_t first, int64_t last) {
  if (!shape.causal) return {0, shape.length};
  return {shape.window > 0 ? std::max<int64_t>(0, first - shape.window + 1) : 0, last + 1};
}

// Lane l holds query first + l; keys after it are hidden, and those before its window.
template <int64_t kLanes>
PIXELREC_INLINE void LaneIndex(IntVec<kLanes>& index) {
  for (int32_t lane = 0; lane < kLanes; ++lane) index[lane] = lane;
}
template <int64_t kLanes>
PIXELREC_INLINE void HideKey(Vec<kLanes>& value, const Vec<kLanes>& hidden, const AttentionShape& shape, int64_t key,
                             int64_t first, int64_t last, const IntVec<kLanes>& lane_index) {
  if (!shape.causal) return;
  if (key > first) value = (lane_index >= static_cast<int32_t>(key - first)) ? value : hidden;
  if (shape.window > 0 && key <= last - shape.window)
    value = (lane_index < static_cast<int32_t>(key - first + shape.window)) ? value : hidden;
}

}  // namespace

template <int64_t kLanes>
PIXELREC_INLINE void AttentionForwardLoop(const AttentionShape& shape, const float* q, const float* k, const float* v, float* out,
                                          float* lse, int64_t lse_stride) {
  const int64_t dim = shape.head_dim, group = shape.query_heads / shape.kv_heads;
  Scratch& s = ThreadScratch(shape.length, dim, kLanes);
  IntVec<kLanes> lane_index;
  LaneIndex<kLanes>(lane_index);
  for (int64_t kv_head = 0; kv_head < shape.kv_heads; ++kv_head) {
    RotateKeys(shape, k + kv_head * dim, s.keys.data());
    const float* values = v + kv_head * dim;
    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      for (int64_t first = shape.first_query; first < shape.length; first += kLanes) {
        const int64_t last = std::min(first + kLanes, shape.length) - 1;
        LoadQueryTile<kLanes>(shape, q + head * dim, first, last, s.tile.data());
        const KeyRange seen = VisibleKeys(shape, first, last);
        const Vec<kLanes> hidden = Vec<kLanes>{} - 3.0e38F;
        Vec<kLanes> peak = hidden;
        for (int64_t j = seen.begin; j < seen.end; ++j) {
          Vec<kLanes> score;
          Score<kLanes>(score, s.keys.data() + j * dim, s.tile.data(), dim);
          if (shape.softcap > 0) SoftCap<kLanes>(score, shape.softcap);
          HideKey<kLanes>(score, hidden, shape, j, first, last, lane_index);
          Max(peak, score);
          Store(s.weights.data() + j * kLanes, score);
        }
        Vec<kLanes> total = {};
        for (int64_t d = 0; d < dim; ++d) Store(s.tile_out.data() + d * kLanes, Vec<kLanes>{});
        for (int64_t j = seen.begin; j < seen.end; ++j) {
          Vec<kLanes> weight;
          Load(weight, s.weights.data() + j * kLanes);
          weight -= peak;
          Exp<kLanes>(weight);
          total += weight;
          const float* value = values + j * shape.kv_stride;
          for (int64_t d = 0; d < dim; ++d) {
            Vec<kLanes> sum;
            Load(sum, s.tile_out.data() + d * kLanes);
            sum += weight * value[d];
            Store(s.tile_out.data() + d * kLanes, sum);
          }
        }
        float totals[kLanes], peaks[kLanes];
        Store(totals, total);
        Store(peaks, peak);
        for (int64_t lane = 0; lane <= last - first; ++lane) {
          const int64_t row = first + lane - shape.first_query;
          float* o = out + row * shape.out_stride + head * dim;
          const float inverse = 1.0F / totals[lane];
          for (int64_t d = 0; d < dim; ++d) o[d] = s.tile_out[static_cast<size_t>(d * kLanes + lane)] * inverse;
          lse[head * lse_stride + row] = peaks[lane] + std::log(totals[lane]);
        }
      }
    }
  }
}

namespace {

// What one tile of queries adds to the gradients of its own queries (written) and of the keys and values it sees (added to).
template <int64_t kLanes>
PIXELREC_INLINE void BackwardTile(const AttentionShape& shape, Scratch& s, const float* q, const float* values, const float* out,
                                  const float* dout, const float* lse, int64_t first, int64_t last,
                                  const IntVec<kLanes>& lane_index, float* dq) {
  const int64_t dim = shape.head_dim, half = dim / 2;
  LoadQueryTile<kLanes>(shape, q, first, last, s.tile.data());
  float dout_tile_delta[kLanes] = {}, row_lse[kLanes] = {};
  float* dout_tile = s.tile_out.data();  // [D, lanes]
  for (int64_t lane = 0; lane < kLanes; ++lane) {
    const int64_t row = std::min(first + lane, last) - shape.first_query;
    const float* g = dout + row * shape.out_stride;
    const float* o = out + row * shape.out_stride;
    // Lanes past the last query carry no gradient.
    const float keep = first + lane <= last ? 1.0F : 0.0F;
    for (int64_t d = 0; d < dim; ++d) {
      dout_tile[d * kLanes + lane] = keep * g[d];
      dout_tile_delta[lane] += keep * g[d] * o[d];
    }
    row_lse[lane] = lse[row];
  }
  Vec<kLanes> delta, log_total;
  Load(delta, dout_tile_delta);
  Load(log_total, row_lse);
  const KeyRange seen = VisibleKeys(shape, first, last);
  for (int64_t j = seen.begin; j < seen.end; ++j) {
    Vec<kLanes> weight, dweight, score;
    Score<kLanes>(score, s.keys.data() + j * dim, s.tile.data(), dim);
    if (shape.softcap > 0) SoftCap<kLanes>(score, shape.softcap);
    weight = score - log_total;
    Exp<kLanes>(weight);
    HideKey<kLanes>(weight, Vec<kLanes>{}, shape, j, first, last, lane_index);
    Score<kLanes>(dweight, values + j * shape.kv_stride, dout_tile, dim);
    dweight = weight * (dweight - delta);
    if (shape.softcap > 0) dweight *= 1.0F - (score / shape.softcap) * (score / shape.softcap);
    Store(s.weights.data() + j * kLanes, weight);
    Store(s.dweights.data() + j * kLanes, dweight);
  }
  // Keys and values: row j of the gradient is a sum over queries of contiguous rows, so the head dimension is the vector here.
  const int64_t queries = last - first + 1;
  for (int64_t lane = 0; lane < queries; ++lane) {
    const int64_t i = first + lane;
    const float* g = dout + (i - shape.first_query) * shape.out_stride;
    float query[512];
    for (int64_t d = 0; d < dim; ++d) query[d] = s.tile[static_cast<size_t>(d * kLanes + lane)];
    const KeyRange own = VisibleKeys(shape, i, i);
    for (int64_t j = own.begin; j < own.end; ++j) {
      const float w = s.weights[static_cast<size_t>(j * kLanes + lane)], dw = s.dweights[static_cast<size_t>(j * kLanes + lane)];
      float* dkey = s.dkeys.data() + j * dim;
      float* dvalue = s.dvalues.data() + j * dim;
#pragma GCC ivdep
      for (int64_t d = 0; d < dim; ++d) {
        dkey[d] += dw * query[d];
        dvalue[d] += w * g[d];
      }
    }
  }
  // Queries: lanes again.
  float dtile[512 * kLanes];
  for (int64_t d = 0; d < dim; ++d) Store(dtile + d * kLanes, Vec<kLanes>{});
  for (int64_t j = seen.begin; j < seen.end; ++j) {
    Vec<kLanes> dweight;
    Load(dweight, s.dweights.data() + j * kLanes);
    const float* key = s.keys.data() + j * dim;
    for (int64_t d = 0; d < dim; ++d) {
      Vec<kLanes> sum;
      Load(sum, dtile + d * kLanes);
      sum += dweight * key[d];
      Store(dtile + d * kLanes, sum);
    }
  }
  for (int64_t lane = 0; lane < queries; ++lane) {
    const int64_t i = first + lane;
    float rotated[512];
    for (int64_t d = 0; d < dim; ++d) rotated[d] = dtile[d * kLanes + lane] * shape.scale;
    Rotate(rotated, shape.cos + i * half, shape.sin + i * half, -1, dim, dq + (i - shape.first_query) * shape.q_stride);
  }
}

}  // namespace

template <int64_t kLanes>
PIXELREC_INLINE void AttentionBackwardLoop(const AttentionShape& shape, const float* q, const float* k, const float* v,
                                           const float* out, const float* dout, const float* lse, int64_t lse_stride, float* dq,
                                           float* dk, float* dv) {
  const int64_t dim = shape.head_dim, half = dim / 2, group = shape.query_heads / shape.kv_heads;
  Scratch& s = ThreadScratch(shape.length, dim, kLanes);
  IntVec<kLanes> lane_index;
  LaneIndex<kLanes>(lane_index);
  for (int64_t kv_head = 0; kv_head < shape.kv_heads; ++kv_head) {
    RotateKeys(shape, k + kv_head * dim, s.keys.data());
    std::fill_n(s.dkeys.begin(), shape.length * dim, 0.0F);
    std::fill_n(s.dvalues.begin(), shape.length * dim, 0.0F);
    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      for (int64_t first = shape.first_query; first < shape.length; first += kLanes) {
        const int64_t last = std::min(first + kLanes, shape.length) - 1;
        BackwardTile<kLanes>(shape, s, q + head * dim, v + kv_head * dim, out + head * dim, dout + head * dim,
                             lse + head * lse_stride, first, last, lane_index, dq + head * dim);
      }
    }
    for (int64_t j = 0; j < shape.length; ++j) {
      Rotate(s.dkeys.data() + j * dim, shape.cos + j * half, shape.sin + j * half, -1, dim,
             dk + j * shape.kv_stride + kv_head * dim);
      std::copy_n(s.dvalues.data() + j * dim, dim, dv + j * shape.kv_stride + kv_head * dim);
    }
  }
}

PIXELREC_MULTIVERSION(AttentionForward,
                      (const AttentionShape& shape, const float* q, const float* k, const float* v, float* out, float* lse,
                       int64_t lse_stride),
                      (shape, q, k, v, out, lse, lse_stride))
PIXELREC_MULTIVERSION(AttentionBackward,
                      (const AttentionShape& shape, const float* q, const float* k, const float* v, const float* out,
                       const float* dout, const float* lse, int64_t lse_stride, float* dq, float* dk, float* dv),
                      (shape, q, k, v, out, dout, lse, lse_stride, dq, dk, dv))

}  // namespace pixelrec::model::cpu
