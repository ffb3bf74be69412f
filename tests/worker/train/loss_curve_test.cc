// The loss of every step of a small run on real data, as committed: a change of the mathematics shows here first.
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <sstream>

#include "tests/fidelity_record.h"
#include "tests/worker/train/small_job.h"

namespace pixelrec::train {
namespace {

constexpr size_t kSteps = 80;
const fs::path kCurve = fs::path(PIXELREC_SOURCE_DIR) / "tests/golden/losses/movietweetings-stories260k.csv";

std::vector<double> ReadCurve() {
  std::ifstream file(kCurve);
  std::vector<double> losses;
  std::string line;
  for (std::getline(file, line); std::getline(file, line);) losses.push_back(std::stod(line.substr(line.find(',') + 1)));
  return losses;
}

// PIXELREC_REWRITE_GOLDEN=1 writes the curve anew.
TEST(LossCurve, IsTheCommittedOne) {
  const TestFolder folder("loss-curve");
  TrainJob job = SmallJob(PrepareSmallData(folder.path(), 12000), folder.path() / "out");
  // SmallJob's learning rate is small enough that another CPU's rounding doesn't grow past the tolerance in so few steps.
  RecordingLink link;
  link.stop_after = kSteps - 1;  // asked for then, it stops after the next step
  ASSERT_TRUE(absl::IsCancelled(RunTraining(job, link)));
  ASSERT_EQ(link.steps.size(), kSteps);
  if (std::getenv("PIXELREC_REWRITE_GOLDEN") != nullptr) {
    std::ofstream file(kCurve);
    file << "step,loss\n";
    file.precision(9);
    for (size_t i = 0; i < kSteps; ++i) file << link.steps[i].step << "," << link.steps[i].loss << "\n";
  }
  const std::vector<double> expected = ReadCurve();
  ASSERT_EQ(expected.size(), kSteps);
  double worst = 0;
  for (size_t i = 0; i < kSteps; ++i) worst = std::max(worst, std::abs(link.steps[i].loss / expected[i] - 1));
  ExpectWithin("O1", "losses of 80 steps against the committed curve", worst, 1e-4);
  const auto mean_of_20 = [&](size_t first) { return std::accumulate(&expected[first], &expected[first] + 20, 0.0) / 20; };
  EXPECT_LT(mean_of_20(kSteps - 20), mean_of_20(0) - 0.1);  // it does learn
}

}  // namespace
}  // namespace pixelrec::train
