// Tables of machines and workloads whose columns come in groups (processor, memory, workload …),
// with a score to predict: what performance predictors are trained on.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cost/learner.h"
#include "cost/tables.h"
#include "formats/csv.h"

namespace espalier {

/// One characteristic: a number, or one of several categories.
struct TableColumn {
  std::string name;
  std::vector<std::string> categories;  ///< empty: a number
  size_t width() const { return categories.empty() ? 1 : categories.size(); }
};

/// Numbers first, categories after them.
struct ColumnGroup {
  std::string name;
  std::vector<TableColumn> columns;
  size_t width() const;
  size_t numbers() const;  ///< how many of its columns are numbers
};

struct GroupedTable {
  std::vector<ColumnGroup> groups;
  /// Column by column, group by group; a category is as many numbers as there are categories, one
  /// of them 1.
  FeatureTable rows{0};
  std::vector<double> target;        ///< the logarithm of the score
  std::vector<std::string> machine;  ///< the configuration each row was measured on
  std::vector<std::string> item;     ///< what was measured: equal on every configuration
};

/// The tables of several configurations as one. Rows without a time are left out; UserError where
/// tables lack peaks.
GroupedTable grouped_machines(std::span<const CostTables> tables);

/// PerfCastDB's CSV (https://github.com/xiaoman-liu/NCPP): a row for each result of a benchmark,
/// with memory, workload, processor and system characteristics. A column none of whose cells is
/// there, or that never varies, is left out; a cell that is not there is the column's mean, or a
/// category of its own. UserError when the columns that say what was measured, where and with which
/// score are missing, and for a score that is no positive number.
GroupedTable read_perfcast(const CsvTable& csv, const std::string& where);

/// Numbers less their mean, over their deviation, both of the rows named; categories as they are.
FeatureTable standardised(const GroupedTable& table, std::span<const size_t> training);

}  // namespace espalier
