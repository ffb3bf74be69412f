// Rule X2 against pandas itself: tests/reference/pandas_values.py wrote what pandas and the reference make of each table.
#include "worker/data/pandas_values.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/storage/atomic_file.h"

namespace pixelrec::data {
namespace {

TEST(PandasValues, AreThoseOfPandas_X2) {
  const auto text = storage::ReadFile(PIXELREC_SOURCE_DIR "/tests/worker/data/pandas_values.json");
  ASSERT_TRUE(text.ok()) << text.status();
  const nlohmann::json cases = nlohmann::json::parse(*text);
  EXPECT_GT(cases.size(), 200u);
  for (const nlohmann::json& table : cases) {
    std::vector<PandasColumn> columns(table.at("columns").size());
    for (size_t i = 0; i < columns.size(); ++i) {
      for (const std::string field : table["columns"][i]) columns[i].See(field);
    }
    AgreeOnOneType(columns);
    nlohmann::json printed = nlohmann::json::array();
    for (size_t i = 0; i < columns.size(); ++i) {
      printed.push_back(nlohmann::json::array());
      for (const std::string field : table["columns"][i]) printed.back().push_back(columns[i].Print(field));
    }
    EXPECT_EQ(printed, table.at("printed")) << table["columns"];
  }
}

}  // namespace
}  // namespace pixelrec::data
