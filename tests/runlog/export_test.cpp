#include "isotrope/runlog/export.h"

#include <gtest/gtest.h>

#include "isotrope/base/file.h"
#include "isotrope/runlog/records.h"
#include "isotrope/runlog/run_log.h"
#include "tests/io/temporary_folder.h"

namespace isotrope {
namespace {

using Paths = std::vector<std::filesystem::path>;
using test::TemporaryFolder;
using Values = std::vector<double>;

TEST(RunExport, TablesAndSpectraStandBesideTheCurvesWithoutWhatWasUndone) {
  const TemporaryFolder folder;
  auto log = RunLog::open(folder.path());
  for (const int step : {10, 20}) {
    log.append({{"type", "step"}, {"step", step}, {"loss", 1.5}});
    log.append(table_record(step, "anisotropy", {{"resid_post.0", 0.25}, {"say \"a,b\"", step == 10 ? -0.5 : 7}}));
    log.append(spectrum_record(step, "gradient", "w", Values{3.5, std::nan("")}));
  }
  log.append({{"type", "resume"}, {"step", 10}});
  log.append(table_record(20, "anisotropy", {{"resid_post.0", 0.125}}));
  log.append({{"type", "weights"}, {"step", 10}, {"matrices", {{"w", 0.02}}}});
  EXPECT_EQ(export_csv(folder.path(), folder / "a.csv"), (Paths{folder / "a.csv", folder / "a.tables.csv", folder / "a.spectra.csv"}));
  EXPECT_EQ(read_file(folder / "a.csv", "test"), "step,loss\n10,1.5\n");
  EXPECT_EQ(read_file(folder / "a.tables.csv", "test"),
            "step,table,row,value\n"
            "10,anisotropy,resid_post.0,0.25\n"
            "10,anisotropy,\"say \"\"a,b\"\"\",-0.5\n"
            "10,weight_rms,w,0.02\n"
            "20,anisotropy,resid_post.0,0.125\n");
  EXPECT_EQ(read_file(folder / "a.spectra.csv", "test"), "step,spectrum,row,index,value\n10,gradient,w,0,3.5\n10,gradient,w,1,nan\n");
}

TEST(RunExport, ARunWithoutTablesAndSpectraMakesOneFile) {
  const TemporaryFolder folder;
  RunLog::open(folder.path()).append({{"type", "step"}, {"step", 1}, {"loss", 1.5}});
  EXPECT_EQ(export_csv(folder.path(), folder / "a"), Paths{folder / "a"});
  EXPECT_FALSE(fs::exists(folder / "a.tables"));
}

}  // namespace
}  // namespace isotrope
