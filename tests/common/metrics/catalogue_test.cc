#include "common/metrics/catalogue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

namespace pixelrec::metrics {
namespace {

std::string KindName(Kind kind) { return kind == Kind::kCounter ? "counter" : kind == Kind::kGauge ? "gauge" : "histogram"; }
std::string PageName(Page page) { return page == Page::kCoordinator ? "coordinator" : page == Page::kWorker ? "worker" : "both"; }

// The row of docs/metrics.md that a catalogue row must have.
std::string Documented(const Row& row) {
  std::ostringstream out;
  out << "| `" << row.name << "` | " << KindName(row.kind) << " | " << PageName(row.page) << " | ";
  for (size_t i = 0; i < row.labels.size(); ++i) {
    out << (i ? ", " : "") << row.labels[i].name;
    for (size_t k = 0; k < row.labels[i].known.size(); ++k) out << (k ? ", " : " (") << row.labels[i].known[k];
    if (!row.labels[i].known.empty()) out << ")";
  }
  out << " | " << row.help << " |";
  return out.str();
}

TEST(CatalogueTest, DocumentationHoldsExactlyTheseRows) {
  std::ifstream file(std::string(PIXELREC_SOURCE_DIR) + "/docs/metrics.md");
  ASSERT_TRUE(file) << "docs/metrics.md is missing";
  std::vector<std::string> documented;
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("| `pixelrec_", 0) == 0) documented.push_back(line);
  }
  std::vector<std::string> expected;
  for (const Row& row : Catalogue()) expected.push_back(Documented(row));
  std::string wanted;
  for (const std::string& row : expected) wanted += row + "\n";
  EXPECT_EQ(documented, expected) << "the table should read\n" << wanted;
}

TEST(CatalogueTest, NamesFollowTheRules) {
  std::set<std::string> names;
  for (const Row& row : Catalogue()) {
    const std::string name(row.name);
    EXPECT_TRUE(names.insert(name).second) << name << " occurs twice";
    EXPECT_TRUE(std::regex_match(name, std::regex("pixelrec_[a-z][a-z_]*[a-z]"))) << name;
    EXPECT_EQ(name.size() > 6 && name.substr(name.size() - 6) == "_total", row.kind == Kind::kCounter) << name;
    EXPECT_EQ(row.help.back(), '.') << name;
    EXPECT_EQ(row.buckets.empty(), row.kind != Kind::kHistogram) << name;
    EXPECT_TRUE(std::is_sorted(row.buckets.begin(), row.buckets.end())) << name;
  }
}

}  // namespace
}  // namespace pixelrec::metrics
