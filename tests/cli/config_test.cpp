#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tests/app/program.h"

namespace isotrope {
namespace {

TEST(ConfigPage, IsTheOneThatTheProgramPrints) {  // ./dev docs
  std::stringstream page;
  page << std::ifstream(ISOTROPE_TEST_SOURCE "/../docs/config.md").rdbuf();
  EXPECT_EQ(test::run_program("config --list --markdown").out, page.str());
}

}  // namespace
}  // namespace isotrope
