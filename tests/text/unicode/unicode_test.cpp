#include "isotrope/text/unicode/unicode.h"

#include <gtest/gtest.h>

#include "isotrope/base/sha256.h"
#include "tests/text/golden_files.h"

namespace isotrope {
namespace {

TEST(Unicode, EveryCodePointHasTheClassesOfTheOracle) {  // tools/unicode_tables.py
  const auto golden = tests::golden("unicode.json");
  const auto& table = UnicodeTable::instance();
  std::string packed;
  int letters = 0, numbers = 0, spaces = 0, words = 0;
  for (char32_t c = 0; c < 0x110000; ++c) {
    packed += static_cast<char>(static_cast<int>(table.category(c)) | table.is_space(c) << 5 | table.is_word(c) << 6);
    letters += table.kind(c) == CharKind::letter;
    numbers += table.kind(c) == CharKind::number;
    spaces += table.is_space(c);
    words += table.is_word(c);
  }
  EXPECT_EQ(letters, golden["letters"]);
  EXPECT_EQ(numbers, golden["numbers"]);
  EXPECT_EQ(spaces, golden["spaces"]);
  EXPECT_EQ(words, golden["words"]);
  EXPECT_EQ(sha256_hex(packed), golden["sha256"]);
}

TEST(Unicode, KnowsLettersThatOlderVersionsLack) {
  const auto& table = UnicodeTable::instance();
  EXPECT_EQ(table.category(U'\u1C89'), Category::Lu);  // new in 16.0
  EXPECT_EQ(table.kind(U'\U00016D40'), CharKind::letter);
  EXPECT_EQ(table.kind(0x0378), CharKind::other);  // unassigned
  EXPECT_EQ(table.kind(U'½'), CharKind::number);
  EXPECT_EQ(table.kind(0x85), CharKind::space);
  EXPECT_EQ(table.kind(0x1C), CharKind::other);  // a space to Python's str.isspace, not to White_Space
}

TEST(Unicode, FindsCategoriesByName) {
  EXPECT_EQ(find_category("Lu"), Category::Lu);
  EXPECT_EQ(find_category("Cn"), Category::Cn);
  EXPECT_EQ(find_category("Xx"), std::nullopt);
}

}  // namespace
}  // namespace isotrope
