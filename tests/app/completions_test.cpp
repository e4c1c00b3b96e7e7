#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "isotrope/base/file.h"
#include "tests/app/program.h"
#include "tests/io/temporary_folder.h"

namespace isotrope {
namespace {

using test::run_program;

TEST(Completions, BashOffersCommandsThenTheirOptions) {
  const test::TemporaryFolder folder;
  write_file(folder / "isotrope.bash", run_program("completions bash").out, "test");
  write_file(folder / "try.bash",
             "source \"$1\"; shift\nCOMP_WORDS=(isotrope \"$@\"); COMP_CWORD=$#; COMPREPLY=(); _isotrope; echo \" ${COMPREPLY[*]} \"\n",
             "test");
  const auto offered = [&](const std::string& words) {
    const std::string out = (folder / "out").string();
    const auto command = "bash " + (folder / "try.bash").string() + " " + (folder / "isotrope.bash").string() + " " + words + " >" + out;
    EXPECT_EQ(std::system(command.c_str()), 0) << words;
    return read_file(out, "test");
  };
  EXPECT_NE(offered("''").find(" info "), std::string::npos) << offered("''");
  EXPECT_EQ(offered("inf"), " info \n");
  EXPECT_EQ(offered("compl"), "  \n");  // hidden
  EXPECT_EQ(offered("info --bu"), " --build \n");
  EXPECT_EQ(offered("info --json --ver"), " --verbose \n");
  EXPECT_EQ(offered("--ver"), " --version \n");
  EXPECT_EQ(offered("data fet"), " fetch \n");
  EXPECT_EQ(offered("data fetch --sha"), " --sha256 \n");
  EXPECT_NE(offered("info /et").find(" /etc "), std::string::npos);
}

TEST(Completions, ZshAndFishKnowEveryCommandThatHelpShows) {
  const auto zsh = run_program("completions zsh").out, fish = run_program("completions fish").out;
  EXPECT_EQ(zsh.rfind("#compdef isotrope\n", 0), 0u);
  for (const std::string command : {"info", "data", "tokenizer"}) {
    EXPECT_NE(zsh.find("'" + command + ":"), std::string::npos) << command;
    EXPECT_NE(fish.find("-a " + command + " -d"), std::string::npos) << command;
  }
  EXPECT_NE(zsh.find("'--build:"), std::string::npos);
  EXPECT_NE(fish.find(" -l sha256 -r -d"), std::string::npos);
  EXPECT_NE(fish.find(" -l build -d"), std::string::npos);
}

TEST(Completions, AnotherShellIsAUsageError) { EXPECT_EQ(run_program("completions tcsh").code, 2); }

}  // namespace
}  // namespace isotrope
