#include "common/config/json_tree.h"

#include <gtest/gtest.h>

#include <string>

namespace pixelrec::config {
namespace {

std::string ParseErrorOf(const std::string& text) {
  const auto tree = ParseJsonTree(text, "ds.json");
  return tree.ok() ? "OK" : std::string(tree.status().message());
}

TEST(JsonTree, KeepsOrderValuesAndPlaces) {
  const auto tree = ParseJsonTree(
      "{\n  // a comment\n\t\"b\": [1, 2.5],  /* another\n */ \"a\\\"\\\\\": {\"x\": null,\n\"y\": \"z\"}}\n", "ds.json");
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_EQ(tree->where, "ds.json:1:1");
  ASSERT_EQ(tree->members.size(), 2u);
  EXPECT_EQ(tree->members[0].key, "b");
  EXPECT_EQ(tree->members[0].where, "ds.json:3:2");
  EXPECT_EQ(tree->members[0].value, nlohmann::json::array({1, 2.5}));
  const JsonNode& object = tree->members[1];
  EXPECT_EQ(object.key, "a\"\\");
  EXPECT_EQ(object.where, "ds.json:4:5");
  EXPECT_TRUE(object.is_object);
  ASSERT_EQ(object.members.size(), 2u);
  EXPECT_TRUE(object.members[0].value.is_null());
  EXPECT_EQ(object.members[1].where, "ds.json:5:1");
  EXPECT_EQ(object.members[1].value, "z");
}

TEST(JsonTree, SaysWhatIsWrongAndWhere) {
  EXPECT_EQ(ParseErrorOf("{\"a\": 1,\n \"b\": 2,\n \"a\": 3}"), "ds.json:3:2: duplicate key \"a\"");
  EXPECT_EQ(ParseErrorOf("3"), "ds.json:1:1: must be a JSON object, {\"key\": value, ...}");
  EXPECT_EQ(ParseErrorOf("[1]"), "ds.json:1:1: must be a JSON object, {\"key\": value, ...}");
  EXPECT_EQ(ParseErrorOf("{\"a\": [1, [2]]}"), "ds.json:1:11: a list holds plain values only");
  EXPECT_EQ(ParseErrorOf("{\"a\": [1, {}]}"), "ds.json:1:11: a list holds plain values only");
  EXPECT_EQ(ParseErrorOf("{\"a\": \xff}"), "ds.json:1:7: not valid UTF-8 text");
  EXPECT_EQ(ParseErrorOf("{\"a\": 1e999}"), "ds.json:1:12: number overflow parsing '1e999'");
  EXPECT_EQ(ParseErrorOf("{\"a\": 1,\n}"),
            "ds.json:2:1: syntax error while parsing object key - unexpected '}'; expected string literal");
  EXPECT_EQ(ParseErrorOf(std::string(JsonNode::kMaxBytes + 1, ' ')), "ds.json:1:1: larger than 256 KiB");
  std::string deep;
  for (int i = 0; i < 17; ++i) deep += "{\"a\":";
  EXPECT_EQ(ParseErrorOf(deep), "ds.json:1:81: nested deeper than 16 levels");
}

}  // namespace
}  // namespace pixelrec::config
