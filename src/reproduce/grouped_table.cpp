#include "reproduce/grouped_table.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <set>

#include "base/error.h"
#include "cost/features.h"

namespace espalier {

size_t ColumnGroup::width() const {
  size_t sum = 0;
  for (const TableColumn& c : columns) sum += c.width();
  return sum;
}

size_t ColumnGroup::numbers() const {
  return size_t(std::count_if(columns.begin(), columns.end(),
                              [](const TableColumn& c) { return c.categories.empty(); }));
}

namespace {

/// A group under construction, cells as they come: a row of numbers and of names for each row of
/// the table.
class GroupMaker {
 public:
  explicit GroupMaker(std::string name) : name_(std::move(name)) {}
  void number(std::string column, std::vector<double> cells) {
    numbers_.emplace_back(std::move(column), std::move(cells));
  }
  void category(std::string column, std::vector<std::string> cells) {
    categories_.emplace_back(std::move(column), std::move(cells));
  }
  bool empty() const { return numbers_.empty() && categories_.empty(); }

  ColumnGroup group() const {
    ColumnGroup g{name_, {}};
    for (const auto& [column, cells] : numbers_) g.columns.push_back({column, {}});
    for (const auto& [column, cells] : categories_) {
      const std::set<std::string> all(cells.begin(), cells.end());
      g.columns.push_back({column, {all.begin(), all.end()}});
    }
    return g;
  }
  void append(size_t row, const ColumnGroup& g, std::vector<double>& to) const {
    for (const auto& [column, cells] : numbers_) to.push_back(cells[row]);
    for (size_t c = 0; c < categories_.size(); ++c)
      for (const std::string& category : g.columns[numbers_.size() + c].categories)
        to.push_back(categories_[c].second[row] == category ? 1 : 0);
  }

 private:
  std::string name_;
  std::vector<std::pair<std::string, std::vector<double>>> numbers_;
  std::vector<std::pair<std::string, std::vector<std::string>>> categories_;
};

void fill(GroupedTable& table, const std::vector<GroupMaker>& makers, size_t rows) {
  size_t width = 0;
  for (const GroupMaker& m : makers) {
    table.groups.push_back(m.group());
    width += table.groups.back().width();
  }
  table.rows = FeatureTable(width);
  std::vector<double> row;
  for (size_t i = 0; i < rows; ++i) {
    row.clear();
    for (size_t g = 0; g < makers.size(); ++g) makers[g].append(i, table.groups[g], row);
    table.rows.add(row);
  }
}

/// The numbers `of` gives for each row, as columns "NAME 0", "NAME 1", ….
template <class F>
void add_numbers(GroupMaker& group, const std::string& name, size_t rows, F of) {
  if (rows == 0) return;
  std::vector<std::vector<double>> columns(of(0).size(), std::vector<double>(rows));
  for (size_t i = 0; i < rows; ++i) {
    const std::vector<double> numbers = of(i);
    for (size_t c = 0; c < columns.size(); ++c) columns[c][i] = numbers[c];
  }
  for (size_t c = 0; c < columns.size(); ++c)
    group.number(name + " " + std::to_string(c), std::move(columns[c]));
}

std::vector<double> logarithms(std::vector<double> amounts) {
  for (double& a : amounts) a = std::log1p(a);
  return amounts;
}

}  // namespace

GroupedTable grouped_machines(std::span<const CostTables> tables) {
  struct Entry {
    const CostTables* tables;
    const RegionRow* row;
  };
  std::vector<Entry> entries;
  GroupedTable t;
  for (const CostTables& one : tables) {
    if (!one.peaks) throw bad_input(one.machine.text(), "has no peaks in its tables");
    for (const RegionRow& row : one.rows) {
      if (row.ms <= 0) continue;
      entries.push_back({&one, &row});
      t.target.push_back(std::log(row.ms));
      t.machine.push_back(one.machine.text());
      t.item.push_back(row.source + " " + signature_of(row.facts));
    }
  }
  const size_t n = entries.size();
  const auto peaks = [&](size_t i) -> const MachinePeaks& { return *entries[i].tables->peaks; };
  GroupMaker processor("processor"), memory("memory"), work("work"), shapes("shapes");
  add_numbers(processor, "rate", n, [&](size_t i) {
    const MachinePeaks& p = peaks(i);
    return logarithms({double(entries[i].tables->machine.threads), p.f32_gmacs_thread, p.f32_gmacs,
                       p.bf16_gmacs_thread, p.bf16_gmacs, p.int8_gmacs_thread, p.int8_gmacs,
                       p.dispatch_us, p.thread_start_us});
  });
  add_numbers(memory, "bandwidth", n, [&](size_t i) {
    const MachinePeaks& p = peaks(i);
    return logarithms({p.l1_gbs_thread, p.l1_gbs, p.l2_gbs_thread, p.l2_gbs, p.l3_gbs_thread,
                       p.l3_gbs, p.memory_gbs_thread, p.memory_gbs});
  });
  const auto features = [&](size_t i) {
    return numeric_features(entries[i].row->facts, peaks(i), entries[i].tables->machine.threads);
  };
  add_numbers(work, "work", n, [&](size_t i) {
    const std::vector<double> all = features(i);
    return std::vector<double>(all.begin(), all.begin() + std::ptrdiff_t(kWorkFeatures));
  });
  add_numbers(shapes, "shape", n, [&](size_t i) {
    const std::vector<double> all = features(i);
    return std::vector<double>(all.begin() + std::ptrdiff_t(kWorkFeatures), all.end());
  });
  std::vector<std::string> isa, kind;
  for (const Entry& e : entries) {
    isa.push_back(e.tables->machine.isa);
    kind.push_back(e.row->facts.kind);
  }
  processor.category("isa", std::move(isa));
  work.category("kind", std::move(kind));
  fill(t, {processor, memory, work, shapes}, n);
  return t;
}

namespace {

struct PerfcastGroup {
  const char* name;
  std::vector<const char*> columns;
};

const std::vector<PerfcastGroup>& perfcast_groups() {
  static const std::vector<PerfcastGroup> groups = {
      {"memory",
       {"Measure.DIMM.Total", "Measure.DIMM.Num", "Measure.DIMM.Freq", "Measure.DIMM.PartNo",
        "SVR.Memory.Buffers"}},
      {"workload",
       {"RESULT.WorkloadName", "RESULT.WorkloadVersion", "RESULT.WorkloadPreset", "RESULT.TestName",
        "RESULT.cluster-name"}},
      {"processor",
       {"SVR.CPU.CPU(s)", "SVR.CPU.Base Frequency", "SVR.CPU.Maximum Frequency",
        "SVR.CPU.All-core Maximum Frequency", "SVR.CPU.Thread(s) per Core",
        "SVR.CPU.Core(s) per Socket", "SVR.CPU.Socket(s)", "SVR.CPU.L1d Cache", "SVR.CPU.L1i Cache",
        "SVR.CPU.L2 Cache", "SVR.CPU.L3 Cache"}},
      {"system",
       {"SVR.CPU.CPU Model", "SVR.CPU.Stepping", "SVR.CPU.Family",
        "SVR.Memory.Automatic NUMA Balancing", "SVR.System.Microcode", "SVR.System.OS",
        "SVR.Power.TDP", "SVR.Power.Frequency (MHz)"}}};
  return groups;
}

std::optional<size_t> column_of(const CsvTable& csv, const std::string& name) {
  const auto it = std::find(csv.columns.begin(), csv.columns.end(), name);
  if (it == csv.columns.end()) return std::nullopt;
  return size_t(it - csv.columns.begin());
}

/// Adds a column as numbers, if its cells are, or as categories; nothing where all are alike.
void add_column(const CsvTable& csv, const std::string& name, GroupMaker& group) {
  const auto column = column_of(csv, name);
  if (!column) return;
  std::vector<std::string> cells;
  std::vector<std::optional<double>> numbers;
  double sum = 0, count = 0;
  bool numeric = true;
  for (const auto& row : csv.rows) {
    cells.push_back(row[*column]);
    numbers.push_back(csv_number(row[*column]));
    if (numbers.back()) {
      sum += *numbers.back();
      ++count;
    } else {
      numeric = numeric && row[*column].empty();
    }
  }
  if (std::set<std::string>(cells.begin(), cells.end()).size() < 2) return;
  if (!numeric) return group.category(name, std::move(cells));
  std::vector<double> values;
  for (const auto& number : numbers) values.push_back(number.value_or(sum / count));
  group.number(name, std::move(values));
}

}  // namespace

GroupedTable read_perfcast(const CsvTable& csv, const std::string& where) {
  const auto needed = [&](const std::string& name) {
    const auto column = column_of(csv, name);
    if (!column)
      throw bad_input(where, "has no column '" + name + "'",
                      "PerfCastDB's train_data.csv and test_data.csv have it");
    return *column;
  };
  const size_t score = needed("RESULT.Value"), test = needed("RESULT.TestName");
  const size_t preset = needed("RESULT.WorkloadPreset"), machine = needed("kubernetes.pod_id");
  if (csv.rows.empty()) throw bad_input(where, "has no rows");
  GroupedTable t;
  for (size_t i = 0; i < csv.rows.size(); ++i) {
    const auto& row = csv.rows[i];
    const auto value = csv_number(row[score]);
    if (!value || !(*value > 0) || !std::isfinite(*value))
      throw bad_input(where + ", line " + std::to_string(csv.lines[i]),
                      "RESULT.Value '" + row[score] + "' is no positive number");
    t.target.push_back(std::log(*value));
    t.machine.push_back(row[machine]);
    t.item.push_back(row[test] + " " + row[preset]);
  }
  std::vector<GroupMaker> makers;
  for (const PerfcastGroup& g : perfcast_groups()) {
    GroupMaker maker(g.name);
    for (const char* column : g.columns) add_column(csv, column, maker);
    if (!maker.empty()) makers.push_back(std::move(maker));
  }
  if (makers.empty()) throw bad_input(where, "has no characteristic that varies");
  fill(t, makers, csv.rows.size());
  return t;
}

FeatureTable standardised(const GroupedTable& table, std::span<const size_t> training) {
  ESP_CHECK(!training.empty(), "something to take the mean of");
  const FeatureTable& x = table.rows;
  std::vector<double> mean(x.columns(), 0), deviation(x.columns(), 1);
  size_t first = 0;
  for (const ColumnGroup& g : table.groups) {
    for (size_t j = first; j < first + g.numbers(); ++j) {
      for (size_t i : training) mean[j] += x.at(i, j) / double(training.size());
      double square = 0;
      for (size_t i : training)
        square += (x.at(i, j) - mean[j]) * (x.at(i, j) - mean[j]) / double(training.size());
      // A number that never varied in training says nothing, whatever it is elsewhere.
      deviation[j] = square > 1e-12 * (1 + mean[j] * mean[j])
                         ? std::sqrt(square)
                         : std::numeric_limits<double>::infinity();
    }
    first += g.width();
  }
  FeatureTable z(x.columns());
  std::vector<double> row(x.columns());
  for (size_t i = 0; i < x.rows(); ++i) {
    for (size_t j = 0; j < row.size(); ++j) row[j] = (x.at(i, j) - mean[j]) / deviation[j];
    z.add(row);
  }
  return z;
}

}  // namespace espalier
