#include "isotrope/data/labelled_records.h"

#include <gtest/gtest.h>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "tests/io/temporary_folder.h"

namespace isotrope {
namespace {

const std::vector<std::string> answers{"no", "yes"};

TEST(LabelledRecords, AreATextOrTwoWithALabelByNameOrNumber) {
  const test::TemporaryFolder folder;
  write_file(folder / "a.jsonl",
             "{\"text\": \"one\", \"label\": \"yes\", \"source\": 7}\n\n{\"text_a\": \"two\", \"text_b\": \"three\", \"label\": 0}",
             "test");
  const auto records = read_labelled_records(folder / "a.jsonl", answers);
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].first, "one");
  EXPECT_FALSE(records[0].second);
  EXPECT_EQ(records[0].label, 1);
  EXPECT_EQ(records[1].second, "three");
  EXPECT_EQ(records[1].label, 0);
  EXPECT_EQ(records[1].line, 3u);
}

TEST(LabelledRecords, WhatIsNoneIsNamedByFileAndLine) {
  const test::TemporaryFolder folder;
  for (const std::string bad :
       {R"({"text": "x"})", R"({"text": "x", "label": "maybe"})", R"({"text": "x", "label": 2})", R"({"text": "x", "label": -1})",
        R"({"text": "x", "label": 0.5})", R"({"text": "", "label": 0})", R"({"text": 5, "label": 0})", R"({"text_a": "x", "label": 0})",
        R"({"text_b": "x", "label": 0})", R"({"text": "x", "text_a": "x", "text_b": "y", "label": 0})", R"({"label": 0})", R"(["x", 0])",
        "{\"text\"", "{\"text\": \"\xff\", \"label\": 0}"}) {
    write_file(folder / "bad.jsonl", "{\"text\": \"x\", \"label\": 0}\n" + bad + "\n", "test");
    try {
      read_labelled_records(folder / "bad.jsonl", answers);
      ADD_FAILURE() << bad;
    } catch (const InputError& error) {
      EXPECT_NE(error.message().find("bad.jsonl: line 2"), std::string::npos) << bad << ": " << error.message();
    }
  }
  write_file(folder / "empty.jsonl", "\n", "test");
  EXPECT_THROW(read_labelled_records(folder / "empty.jsonl", answers), InputError);
}

}  // namespace
}  // namespace isotrope
