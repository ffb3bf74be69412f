#include "worker/model/index_tensor.h"

#include <ATen/ops/tensor.h>

namespace pixelrec::model {

at::Tensor IndexTensor(const std::vector<int64_t>& values, const at::Device& device) {
  const at::Tensor host = at::tensor(values, at::kLong);
  return device.is_cuda() ? host.pin_memory().to(device, /*non_blocking=*/true) : host.to(device);
}

}  // namespace pixelrec::model
