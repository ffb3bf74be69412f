// Section 1.12 of the specification: hand-made text rows through the whole of Prepare, ids by the reference library.
#include <fstream>
#include <sstream>

#include "gtest/gtest.h"
#include "tests/worker/data/small_dataset.h"
#include "tests/worker/tokenizer/reference_library.h"

namespace pixelrec::data {
namespace {

struct HandMade {
  const char* id;
  const char* fields;  // as the CSV writes them: title,description
  const char* text;    // after the prompt; null: no text at all
};

const std::string kLong(3000, 'x');

const std::vector<HandMade> kRows = {
    {"plain", "Foo,Bar", "title: Foodescription: Bar"},
    {"no_title", ",Bar", "description: Bar"},
    {"nothing", ",", ""},
    {"quoted_empty", "\"\",\"\"", ""},
    {"na", "NA,N/A", "title: NAdescription: N/A"},
    {"null", "NULL,null", "title: NULLdescription: null"},
    {"nan", "nan,-nan", "title: nandescription: -nan"},
    {"none", "None,<NA>", "title: Nonedescription: <NA>"},
    {"zero", "0,False", "title: 0description: False"},
    {"number", "5,5.0", "title: 5description: 5.0"},
    {"leading_zeros", "007,1e5", "title: 007description: 1e5"},
    {"comma", "\"a, b\",\"c,d\"", "title: a, bdescription: c,d"},
    {"quote", "\"say \"\"hi\"\"\",x", "title: say \"hi\"description: x"},
    {"line_break", "\"two\nlines\",\"cr\r\nlf\"", "title: two\nlinesdescription: cr\r\nlf"},
    {"spaces", "  two  spaces  ,\ttab", "title:   two  spaces  description: \ttab"},
    {"emoji", "\xF0\x9F\x98\x80 \xF0\x9F\x91\xA8\xE2\x80\x8D\xF0\x9F\x91\xA9,x",
     "title: \xF0\x9F\x98\x80 \xF0\x9F\x91\xA8\xE2\x80\x8D\xF0\x9F\x91\xA9"
     "description: x"},
    {"chinese", "\xE4\xBD\xA0\xE5\xA5\xBD,\xE4\xB8\x96",
     "title: \xE4\xBD\xA0\xE5\xA5\xBD"
     "description: \xE4\xB8\x96"},
    {"special_tokens", "<s> </s>,<unk>", "title: <s> </s>description: <unk>"},
    {"combining", "e\xCC\x81,\xEF\xBC\xA1",
     "title: e\xCC\x81"
     "description: \xEF\xBC\xA1"},
    {"long", "LONG,end", "title: LONGdescription: end"},
    {"absent", nullptr, nullptr},
};

TEST(HandMadeItems, TokensAsTheReferenceMakesThem) {
  const std::string prompt = "Compress the following sentence into embedding: ";
  std::string interactions = "user_id,item_id\n";
  std::string texts = "item_id,title,description\nplain,to be,replaced\n";  // X3: a later row of the same item wins
  for (const HandMade& row : kRows) {
    interactions += std::string("u,") + row.id + "\n";
    if (row.fields == nullptr) continue;
    const std::string fields = std::string(row.id) == "long" ? kLong + ",end" : row.fields;
    texts += std::string(row.id) + "," + fields + "\n";
  }
  SmallDataset data(interactions, texts);
  data.options.text_keys = {"title", "description"};
  data.options.item_prompt = prompt;
  data.options.max_text_length = 256;
  data.options.max_seq_length = 5;
  const auto dataset = data.Open();
  ASSERT_NE(dataset, nullptr);

  std::ifstream file(data.options.tokenizer_dir / "tokenizer.model", std::ios::binary);
  std::ostringstream model;
  model << file.rdbuf();
  const reference::SentencePieceLibrary library(model.str());
  for (uint32_t item = 1; item <= dataset->num_items(); ++item) {
    const HandMade& row = kRows[item - 1];
    const auto tokens = dataset->tokens(item);
    if (row.text == nullptr) {
      EXPECT_TRUE(tokens.empty()) << row.id;
      continue;
    }
    std::string text = row.text;
    if (std::string(row.id) == "long") text = "title: " + kLong + "description: end";
    std::vector<uint32_t> expected = {1};
    for (int32_t id : library.Encode(prompt + text)) expected.push_back(static_cast<uint32_t>(id));
    if (expected.size() > 256) expected.resize(256);
    EXPECT_EQ(std::vector<uint32_t>(tokens.begin(), tokens.end()), expected) << row.id;
  }
  EXPECT_EQ(data.report.truncated_items, 1);
  EXPECT_EQ(data.report.items_without_text, 1);
}

}  // namespace
}  // namespace pixelrec::data
