#include "formats/csv.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/formats/malformed.h"

namespace espalier {
namespace {

CsvTable parse(const std::string& text, CsvHeader header = CsvHeader::guess) {
  return read_csv(text, "file", header);
}

TEST(Csv, ReadsHeaderAndNumbers) {
  const CsvTable t = parse("a, b,class\n1,2.5,0\r\n-3e2, +4 ,1\n\n");
  EXPECT_EQ(t.columns, (std::vector<std::string>{"a", "b", "class"}));
  EXPECT_EQ(t.column("class", "file"), 2u);
  EXPECT_EQ(t.column("1", "file"), 1u);
  const Tensor v = numeric_columns(t, {1, 0}, "file");
  EXPECT_EQ(v.shape(), (Shape{2, 2}));
  EXPECT_EQ(v.at(0), 2.5);
  EXPECT_EQ(v.at(2), 4);
  EXPECT_EQ(v.at(3), -300);
}

TEST(Csv, HeaderIsGuessedOrStated) {
  EXPECT_EQ(parse("1,2\n3,4\n").rows.size(), 2u);
  EXPECT_EQ(parse("x,y\n3,4\n").rows.size(), 1u);
  EXPECT_EQ(parse("x,y\nu,v\n", CsvHeader::absent).rows.size(), 2u);
  EXPECT_EQ(parse("1,2\n3,4\n", CsvHeader::present).columns[0], "1");
}

TEST(Csv, QuotedCellsHoldAnything) {
  const CsvTable t = parse("\"a,\"\"b\"\"\n\",2\nlast,3", CsvHeader::absent);
  ASSERT_EQ(t.rows.size(), 2u);
  EXPECT_EQ(t.rows[0][0], "a,\"b\"\n");
  EXPECT_EQ(t.rows[1][1], "3");
  EXPECT_EQ(t.lines, (std::vector<int64_t>{1, 3}));
}

TEST(Csv, ErrorsNameLineAndColumn) {
  EXPECT_EQ(user_error([] { parse("1,2\n3\n"); }),
            "file: line 2: has 1 cells, the lines before have 2");
  EXPECT_EQ(user_error([] { parse("1,\"2\n3\n"); }),
            "file: line 1: opens a quote that is never closed");
  EXPECT_EQ(user_error([] { parse("\"1\"2\n"); }), "file: line 1: has text after a closing quote");
  EXPECT_EQ(user_error([] { parse(""); }), "file: holds no rows");
  EXPECT_EQ(user_error([] { parse("x,y\n"); }), "file: holds no rows");
  EXPECT_EQ(user_error([] {
              numeric_columns(parse("x,y\n1,2\n\n3,red\n"), {0, 1}, "file");
            }),
            "file: line 4: 'red' in column y is not a number");
  EXPECT_EQ(user_error([] { parse("x,y\n1,2\n").column("z", "file"); }),
            "file: has no column 'z' | columns are x, y");
  EXPECT_EQ(user_error([] { parse("1,2\n").column("2", "file"); }),
            "file: has no column '2' | columns are numbered from 0 to 1");
}

TEST(Csv, DamageIsSurvived) {
  const std::string text = "x,\"y\"\n1,2\n3,4\n";
  expect_damage_survived(text, [](const std::string& b) { parse(b); });
  for (size_t n = 0; n < text.size(); ++n) {
    try {
      parse(text.substr(0, n));
    } catch (const UserError&) {
    }
  }
}

}  // namespace
}  // namespace espalier
