// Two checkpoints compared bit for bit, however many shards each has.
#pragma once

#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "worker/checkpoint/checkpoint_files.h"
#include "worker/train/tensor_bytes.h"

namespace pixelrec::train {

inline void ExpectSameWeights(const std::filesystem::path& a, const std::filesystem::path& b) {
  auto first = checkpoint::OpenCheckpoint(a), second = checkpoint::OpenCheckpoint(b);
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(first->manifest.sample_digest, second->manifest.sample_digest);
  for (const auto& [left, right] :
       {std::pair(&*first->model, &*second->model), std::pair(&*first->optimizer, &*second->optimizer)}) {
    ASSERT_EQ(left->names(), right->names());
    for (const std::string& name : left->names())
      EXPECT_TRUE(at::equal(TensorOf(*left->Find(name)), TensorOf(*right->Find(name)))) << name;
  }
}

}  // namespace pixelrec::train
