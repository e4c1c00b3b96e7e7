#include "isotrope/runlog/tensorboard.h"

#include <gtest/gtest.h>

#include <string>

#include "isotrope/base/file.h"
#include "tests/io/temporary_folder.h"

namespace isotrope {
namespace {

RunCurves example() {
  RunCurves run;
  for (const auto* line :
       {R"({"type":"run","format":1,"started":"2026-11-22T07:13:54Z"})", R"({"type":"step","step":1,"loss":7.25,"lr":1e-05,"seconds":0.5})",
        R"({"type":"step","step":300,"loss":"nan","seconds":2.5})", R"({"type":"eval","step":300,"nll":3.0})",
        R"({"type":"weights","step":300,"rms":{"matrix":0.02},"matrices":{"w":0.02}})",
        R"({"type":"table","step":300,"name":"anisotropy","rows":{"resid_post.0":0.5,"resid_post.1":"inf"}})",
        R"({"type":"spectrum","step":300,"name":"gradient","row":"w","values":[30,15.5,1,1,"nan",0.25,0]})",
        R"({"type":"spectrum","step":300,"name":"gradient","row":"x","values":[2,2]})",
        R"({"type":"spectrum","step":300,"name":"gradient","row":"y","values":["inf"]})",
        R"({"type":"sample","step":300,"prompt":"And it came to pass","text":", ein schöner Tag"})"})
    run.add_line(line, "log", 1);
  return run;
}

TEST(TensorBoard, TheEventFileIsByteForByteWhatItsOwnWriterMakes) {  // tools/oracles/tensorboard_events.py
  const auto expected = read_file(ISOTROPE_TEST_SOURCE "/golden/events.tfevents", "test");
  EXPECT_EQ(tensorboard_events(example()), expected);
}

TEST(TensorBoard, TheFileIsNamedAfterTheStart) {
  const test::TemporaryFolder folder;
  export_tensorboard(example(), folder / "events");
  EXPECT_EQ(read_file(folder / "events/events.out.tfevents.1795331634.isotrope", "test"), tensorboard_events(example()));
}

TEST(TensorBoard, ChecksumsAreCrc32c) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);  // the check value of RFC 3720's polynomial
  EXPECT_EQ(crc32c(""), 0u);
}

}  // namespace
}  // namespace isotrope
