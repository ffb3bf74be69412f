#include "ctl/plan/fit.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ctl/render/quantity.h"

namespace pixelrec::ctl {
namespace {

// Ranks of this size that these machines' workers hold at once.
int64_t RoomFor(const std::vector<Host>& hosts, int64_t rank_bytes) {
  int64_t ranks = 0;
  for (const Host& host : hosts) ranks += std::min<int64_t>(host.workers, host.memory_bytes / std::max<int64_t>(1, rank_bytes));
  return ranks;
}

int WorkersOn(const std::vector<Host>& hosts) {
  int workers = 0;
  for (const Host& host : hosts) workers += host.workers;
  return workers;
}

std::string HostText(const std::vector<Host>& hosts) {
  return absl::StrJoin(hosts, ", ", [](std::string* out, const Host& host) {
    absl::StrAppend(out, host.name, " (", host.workers, host.workers == 1 ? " worker, " : " workers, ",
                    BytesText(host.memory_bytes), ")");
  });
}

// Whether the workers there are hold as many of these ranks as they would get.
bool Holds(const std::vector<Host>& hosts, int ranks, int64_t rank_bytes) {
  const int64_t room = RoomFor(hosts, rank_bytes);
  return room > 0 && room >= std::min(ranks, WorkersOn(hosts));
}

std::string StageSettings(int item, int user) {
  return item == user ? absl::StrCat("zero_stage ", item) : absl::StrCat("item_zero_stage ", item, ", user_zero_stage ", user);
}

// The ways that need less than the chosen one and have room, the first of each kind.
std::string WhatFits(const JobPlan& plan, const std::vector<Host>& hosts) {
  for (const PlannedMemory& stage : plan.stages) {
    if (!Holds(hosts, plan.workers, plan.needed(stage.peak))) continue;
    return absl::StrCat("; ", StageSettings(stage.item_zero_stage, stage.user_zero_stage), " with gradient_checkpointing ",
                        stage.gradient_checkpointing ? "true" : "false", " fits: ", BytesText(plan.needed(stage.peak)),
                        " a rank");
  }
  for (const PlannedWorld& world : plan.worlds) {
    const int64_t needed = plan.needed(world.peak);
    if (!std::any_of(hosts.begin(), hosts.end(), [&](const Host& host) { return host.memory_bytes >= needed; })) continue;
    if (world.workers <= plan.workers) continue;
    return absl::StrCat("; ", world.workers, " workers at zero_stage ", world.zero_stage, " need ", BytesText(needed),
                        " a rank, which one of these machines holds");
  }
  return "; no stage and no number of workers up to 16 times as many fits: take a smaller per_device_train_batch_size, shorter "
         "texts or a smaller model";
}

}  // namespace

std::vector<Host> HostsOf(const v1::ListWorkersResponse& workers) {
  std::map<std::string, Host> hosts;
  for (const v1::Worker& worker : workers.workers()) {
    if (worker.state() == v1::WORKER_STATE_LOST || worker.memory_bytes() <= 0) continue;
    Host& host = hosts[worker.host()];
    host.name = worker.host();
    host.memory_bytes = host.workers == 0 ? worker.memory_bytes() : std::min(host.memory_bytes, worker.memory_bytes());
    ++host.workers;
  }
  std::vector<Host> list;
  for (auto& [name, host] : hosts) list.push_back(std::move(host));
  return list;
}

FitVerdict Judge(const JobPlan& plan, const std::vector<Host>& hosts) {
  if (hosts.empty()) return {Fit::kUnknown, "no worker is known: whether it fits can't be said"};
  const int64_t needed = plan.needed(plan.chosen().peak);
  const int ranks = std::min(plan.workers, WorkersOn(hosts));
  const std::string need = absl::StrCat(plan.workers, plan.workers == 1 ? " rank needs " : " ranks need ", BytesText(needed),
                                        " each; there are ", HostText(hosts));
  const int64_t room = RoomFor(hosts, needed);
  if (room < ranks) return {Fit::kNever, absl::StrCat(need, ", with room for ", room, WhatFits(plan, hosts))};
  // Ranks go to any idle workers: the worst choice fills one machine after another.
  const bool anywhere = std::all_of(hosts.begin(), hosts.end(), [&](const Host& host) {
    return std::min(host.workers, plan.workers) * needed <= host.memory_bytes;
  });
  if (!anywhere) return {Fit::kMayFit, absl::StrCat(need, ": not every machine has room for as many ranks as it has workers")};
  if (ranks < plan.workers) return {Fit::kMayFit, absl::StrCat(need, ": the other workers aren't there yet")};
  return {Fit::kFits, need};
}

}  // namespace pixelrec::ctl
