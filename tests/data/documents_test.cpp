#include "isotrope/data/documents.h"

#include <gtest/gtest.h>

#include "isotrope/base/error.h"
#include "tests/io/temporary_folder.h"

namespace isotrope {
namespace {

using test::message_of;
using test::put;
using test::TemporaryFolder;

constexpr auto anywhere = [](std::string_view, std::string_view) { return true; };
constexpr auto nowhere = [](std::string_view, std::string_view) { return false; };

std::vector<TextPiece> pieces(std::string_view rule, std::string_view text, std::size_t step, std::size_t piece_bytes = 1 << 20,
                              DocumentSplitter::Seam seam = anywhere) {
  std::vector<TextPiece> found;
  DocumentSplitter splitter(DocumentBreak::parse(rule), piece_bytes, seam, [&](TextPiece piece) { found.push_back(std::move(piece)); });
  for (std::size_t at = 0; at < text.size(); at += step) splitter.feed(text.substr(at, step));
  splitter.finish();
  return found;
}

/// The documents, whatever the sizes of the chunks in which the text arrives; offsets must point at the text.
std::vector<std::string> documents(std::string_view rule, std::string_view text, std::size_t piece_bytes = 1 << 20) {
  std::vector<std::string> first;
  for (const std::size_t step : {1, 2, 3, 7, 1000}) {
    std::vector<std::string> found;
    for (const auto& piece : pieces(rule, text, step, piece_bytes)) {
      EXPECT_EQ(text.substr(piece.offset, piece.text.size()), piece.text);
      if (piece.begins_document) found.emplace_back();
      found.back() += piece.text;
    }
    if (step == 1) first = found;
    EXPECT_EQ(found, first) << rule << " in steps of " << step;
  }
  return first;
}

using Texts = std::vector<std::string>;

TEST(Documents, AFileIsOneUnlessToldOtherwise) {
  EXPECT_EQ(documents("none", "a\n\nb\n"), Texts{"a\n\nb\n"});
  EXPECT_EQ(documents("none", ""), Texts{});
}

TEST(Documents, Lines) {
  EXPECT_EQ(documents("line", "a\r\nbc\n\n\nd"), (Texts{"a", "bc", "d"}));
  EXPECT_EQ(documents("line", "\n\n"), Texts{});
}

TEST(Documents, BlankLines) {
  EXPECT_EQ(documents("blank-lines", "\n\na\nb\n\n\n c\n \t\r\nd\n"), (Texts{"a\nb", " c", "d"}));
  EXPECT_EQ(documents("blank-lines", "a\r\n\r\nb"), (Texts{"a", "b"}));
}

TEST(Documents, SeparatorStrings) {
  EXPECT_EQ(documents("<|endoftext|>", "a<|endoftext|><|endoftext|>b <|endof c<|endoftext|>"), (Texts{"a", "b <|endof c"}));
  EXPECT_EQ(documents("\\n---\\n", "a\n---\nb\n--\n"), (Texts{"a", "b\n--\n"}));
}

TEST(Documents, LongOnesComeInPiecesThatJoinToTheSame) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += (i % 7 ? "word " : "line\n") + std::to_string(i) + (i % 50 == 0 ? "\n\n" : " x");
  EXPECT_EQ(documents("none", text, 64), documents("none", text));
  EXPECT_EQ(documents("blank-lines", text, 64), documents("blank-lines", text));
  EXPECT_EQ(documents("word 9", text, 64), documents("word 9", text));
  const auto cut = pieces("none", text, 100, 64);
  EXPECT_GT(cut.size(), text.size() / 128);
  for (const auto& piece : cut) EXPECT_LE(piece.text.size(), 100u + 64u);
  EXPECT_TRUE(cut.back().ends_document);
  EXPECT_FALSE(cut.front().ends_document);
}

TEST(Documents, WithoutASeamNothingIsCut) {
  const std::string text(10000, 'a');
  EXPECT_EQ(pieces("none", text, 100, 64).size(), 1u);
  std::string words;
  for (int i = 0; i < 2000; ++i) words += "word ";
  EXPECT_EQ(pieces("none", words, 100, 64, nowhere).size(), 1u);
  EXPECT_GT(pieces("none", words, 100, 64, anywhere).size(), 50u);
}

TEST(Documents, InputsAreListedSortedAndByName) {
  const TemporaryFolder folder;
  for (const auto* name : {"b.txt", "a/z.jsonl.gz", "a/y.md", "a/x.bin", ".hidden.txt", ".git/c.txt", "c.txt.zst", "d.ndjson"})
    put(folder / name, "x");
  EXPECT_EQ(list_inputs({folder.path()}), (std::vector<fs::path>{folder / "a/y.md", folder / "a/z.jsonl.gz", folder / "b.txt",
                                                                 folder / "c.txt.zst", folder / "d.ndjson"}));
  EXPECT_EQ(list_inputs({folder / "a/x.bin"}), std::vector<fs::path>{folder / "a/x.bin"});
  EXPECT_TRUE(is_json_lines(folder / "a/z.jsonl.gz"));
  EXPECT_FALSE(is_json_lines("b.txt"));
  EXPECT_NE(message_of([&] { list_inputs({folder / "absent"}); }).find("no such file or folder"), std::string::npos);
  fs::create_directories(folder / "empty");
  EXPECT_NE(message_of([&] { list_inputs({folder / "empty"}); }).find("no .txt, .text, .md, .jsonl or .ndjson file"), std::string::npos);
}

}  // namespace
}  // namespace isotrope
