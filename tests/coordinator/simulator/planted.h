// Puts one of the Planted faults (run.h) into the world of a run.
#pragma once

#include <memory>
#include <vector>

#include "tests/coordinator/simulator/coordinator_node.h"
#include "tests/coordinator/simulator/journal_disk.h"
#include "tests/coordinator/simulator/promises.h"
#include "tests/coordinator/simulator/run.h"
#include "tests/coordinator/simulator/worker_node.h"

namespace pixelrec::simulator {

struct FaultyParts {
  JournalDisk& journal;
  CoordinatorNode& coordinator;
  std::vector<std::unique_ptr<WorkerNode>>& workers;
  Trainers& trainers;
  const Promises& promises;
};

void PlantFault(Planted fault, FaultyParts parts);

}  // namespace pixelrec::simulator
