#include "isotrope/base/log.h"

#include <gtest/gtest.h>

namespace isotrope {
namespace {

TEST(Log, WhatAFileSaysDoesNotCommandTheTerminal) {
  EXPECT_EQ(printable("lm_head.weight — été 日本 \t\n"), "lm_head.weight — été 日本 \t\n");
  EXPECT_EQ(printable("\x1b[2Jwte\r\a\x7f"), "\\x1b[2Jwte\\x0d\\x07\\x7f");
  EXPECT_EQ(printable("\xc2\x9b"
                      "2J \xc2\xa0"),
            "\\x9b"
            "2J \xc2\xa0")
      << "the controls of two bytes, and what lies behind them";
  EXPECT_EQ(printable(std::string_view("\0\xc2", 2)), "\\x00\xc2");
  testing::internal::CaptureStderr();
  warn("a\x1b[0m");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "warning: a\\x1b[0m\n");
}

}  // namespace
}  // namespace isotrope
