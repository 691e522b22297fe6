#include "cost/tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/files.h"
#include "tests/cost/rows.h"
#include "tests/support/run_op.h"

namespace espalier {
namespace {

using ::testing::HasSubstr;
using testing::user_error;

TEST(Tables, RoundTrip) {
  const CostTables t = testing::made_up_tables(12);
  const CostTables again = parse_tables(tables_text(t), "t.json");
  EXPECT_EQ(again.machine, t.machine);
  EXPECT_EQ(again.seed, t.seed);
  EXPECT_EQ(again.peaks, t.peaks);
  EXPECT_EQ(again.rows, t.rows);
  EXPECT_EQ(again.done, t.done);
  CostTables fresh;
  fresh.machine = t.machine;
  const CostTables empty = parse_tables(tables_text(fresh), "t.json");
  EXPECT_FALSE(empty.peaks.has_value());
  EXPECT_TRUE(empty.rows.empty());
}

TEST(Tables, RefuseWhatIsDamaged) {
  const std::string good = tables_text(testing::made_up_tables(3));
  const auto error = [](const std::string& text) {
    return user_error([&] { parse_tables(text, "t.json"); });
  };
  EXPECT_EQ(error(good), "(no error)");
  for (const size_t cut : {size_t{0}, good.size() / 3, good.size() - 3})
    EXPECT_THAT(error(good.substr(0, cut)), HasSubstr("t.json: is damaged, or something else"));
  EXPECT_THAT(error("[1, 2]"), HasSubstr("is damaged"));
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return error(text.replace(at, from.size(), to));
  };
  EXPECT_THAT(with("\"espalier_tables\":1", "\"espalier_tables\":99"),
              HasSubstr("is stale: it has version 99"));
  EXPECT_THAT(with("\"threads\":2", "\"threads\":0"), HasSubstr("is damaged"));
  EXPECT_THAT(with("\"kernel\":", "\"colonel\":"), HasSubstr("is damaged"));
  EXPECT_THAT(with("\"f32\"", "\"f33\""), HasSubstr("'f33' is not known"));
  EXPECT_THAT(with("\"ms\":", "\"ms\":-"), HasSubstr("is damaged"));
  EXPECT_THAT(with("\"x\":[1,", "\"x\":[-1,"), HasSubstr("is damaged"));
}

TEST(Tables, RefuseOtherMachines) {
  const std::string path =
      (std::filesystem::path(::testing::TempDir()) / "espalier_foreign_tables.json").string();
  save_tables(testing::made_up_tables(2), path);
  const auto error = [&](const MachineId& here) {
    return user_error([&] { load_tables(path, here); });
  };
  MachineId here = testing::made_up_machine();
  EXPECT_EQ(error(here), "(no error)");
  here.threads = 1;
  EXPECT_THAT(error(here), HasSubstr("was measured elsewhere: on Test CPU, AVX9 and wide, 2 "
                                     "threads; this is Test CPU, AVX9 and wide, 1 thread"));
  here = testing::made_up_machine();
  here.cpu = "Other CPU";
  EXPECT_THAT(error(here), HasSubstr("was measured elsewhere"));
  here = testing::made_up_machine();
  here.engine = "oneDNN 0.0.2";
  EXPECT_THAT(error(here), HasSubstr("is stale: it was measured with oneDNN 0.0.1, this is oneDNN "
                                     "0.0.2"));
  std::filesystem::remove(path);
  EXPECT_THAT(error(here), HasSubstr("there are no measurements of Test CPU"));
}

TEST(Tables, AreNamedAfterTheMachine) {
  MachineId m = testing::made_up_machine();
  EXPECT_EQ(m.file_stem(), "test-cpu-avx9-and-wide-2-threads");
  m.threads = 1;
  EXPECT_EQ(m.text(), "Test CPU, AVX9 and wide, 1 thread");
  EXPECT_EQ(model_path("a/b.json"), std::filesystem::path("a/b.model.json"));
}

}  // namespace
}  // namespace espalier
