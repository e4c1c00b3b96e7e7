#pragma once

#include <string>

#include "tests/app/program.h"
#include "tests/text/golden_files.h"

namespace isotrope::test {

struct Outcome {
  int code = -1;
  std::string output;
};

/// Runs `isotrope tokenizer ARGUMENTS`; what it says on stderr follows when `errors`.
inline Outcome tokenizer(const std::string& arguments, bool errors = false) {
  const auto result = run_program("tokenizer " + arguments);
  return {result.code, errors ? result.out + result.err : result.out};
}

inline const std::string gpt2 = tests::golden_path("gpt2.tokenizer.json").string(),
                         bert = tests::golden_path("word_piece.tokenizer.json").string(),
                         corpus = tests::golden_path("corpus.txt").string();

}  // namespace isotrope::test
