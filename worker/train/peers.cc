#include "worker/train/peers.h"

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "worker/dist/device.h"
#include "worker/dist/process_group.h"
#include "worker/train/failure.h"

namespace pixelrec::train {
namespace {

constexpr std::chrono::milliseconds kStoreTimeout{120'000};

absl::StatusOr<dist::Rendezvous> OpenRendezvous(const Session& s, WorkerLink& link) {
  if (s.is_rank_zero()) {
    auto listening = dist::Rendezvous::Listen(s.job.host_address, kStoreTimeout);
    if (listening.ok()) link.StoreOpened(s.job.host_address, listening->port());
    return listening;
  }
  auto store = link.WaitForStore();
  if (!store.ok()) return store.status();
  return dist::Rendezvous::Connect(store->first, static_cast<uint16_t>(store->second), kStoreTimeout);
}

// All ranks choose alike, from what all of them have.
absl::Status ChooseDevice(Session& s, WorkerLink& link, const std::vector<dist::LocalGpu>& by_rank) {
  auto placement = dist::Place(s.job.backend, by_rank);
  if (!placement.ok()) {
    return WithKind(placement.status(), FailureKind::kBadSpec,
                    "use backend: auto or gloo to train on CPUs; or give each worker a GPU (worker.yaml: device: cuda:N) and a "
                    "build with CUDA (docs/gpu.md)");
  }
  if (placement->on_gpu) s.device = at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(s.job.gpu));
  if (s.is_rank_zero()) link.Notice(false, dist::Describe(*placement, s.job.backend));
  return absl::OkStatus();
}

}  // namespace

absl::Status MeetPeers(Session& s, WorkerLink& link) {
  const dist::LocalGpu gpu = s.job.backend == dist::BackendChoice::kGloo ? dist::LocalGpu{} : dist::FindGpu(s.job.gpu);
  if (s.job.world_size == 1) return ChooseDevice(s, link, {gpu});
  auto rendezvous = OpenRendezvous(s, link);
  if (!rendezvous.ok()) return rendezvous.status();
  const std::string prefix = absl::StrCat(s.job.job_id, "/", s.job.generation, "/");
  auto texts = rendezvous->Exchange(prefix + "gpus", s.job.rank, s.job.world_size, gpu.ToText(), dist::kCollectiveTimeout);
  if (!texts.ok()) return texts.status();
  std::vector<dist::LocalGpu> gpus;
  for (const std::string& text : *texts) gpus.push_back(dist::LocalGpu::FromText(text));
  if (auto status = ChooseDevice(s, link, gpus); !status.ok()) return status;
  for (const auto& [group, purpose] : {std::pair(&s.group, "main"), std::pair(&s.unit_group, "units")}) {
    auto joined = dist::ProcessGroup::Join(*rendezvous, {.rank = s.job.rank,
                                                         .world_size = s.job.world_size,
                                                         .host_address = s.job.host_address,
                                                         .prefix = prefix + purpose,
                                                         .device = s.device,
                                                         .whereabouts = s.whereabouts.get()});
    if (!joined.ok()) return joined.status();
    *group = *std::move(joined);
  }
  return absl::OkStatus();
}

}  // namespace pixelrec::train
