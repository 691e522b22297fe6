#include "cost/model.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/files.h"
#include "base/rng.h"
#include "cost/features.h"
#include "cost/metrics.h"
#include "cost/tables_json.h"

namespace espalier {

namespace {

constexpr int kModelVersion = 1;
constexpr size_t kWords = 64;  // features of their own, the most frequent
constexpr int kParts = 5;
constexpr double kWordSeen = 3;  // rows that must hold a word before it means anything

std::vector<std::string> frequent_words(std::span<const RegionRow> rows) {
  std::map<std::string, int> seen;
  for (const RegionRow& row : rows) {
    auto words = words_of(row.facts);
    std::sort(words.begin(), words.end());
    words.erase(std::unique(words.begin(), words.end()), words.end());
    for (const auto& word : words) ++seen[word];
  }
  std::vector<std::pair<int, std::string>> order;
  for (const auto& [word, count] : seen)
    if (count >= kWordSeen) order.emplace_back(-count, word);
  std::sort(order.begin(), order.end());
  if (order.size() > kWords) order.resize(kWords);
  std::vector<std::string> words;
  for (auto& [count, word] : order) words.push_back(std::move(word));
  return words;
}

bool timed(const RegionRow& row) { return row.ms > 0; }

}  // namespace

int part_of(const RegionFacts& facts) {
  return int(Rng(0, stream_of(signature_of(facts))).below(0, kParts));
}

CostModel CostModel::fit(const CostTables& tables, std::span<const RegionRow> rows,
                         const CostModelOptions& options) {
  if (!tables.peaks)
    throw bad_input("tables", "hold no peaks of the machine yet", "let espalier calibrate finish");
  CostModel m;
  m.machine_ = tables.machine;
  m.peaks_ = *tables.peaks;
  std::vector<RegionRow> used;
  std::set<std::string> ran;
  for (const RegionRow& row : rows) {
    (timed(row) ? ran : m.free_).insert(row.facts.operators);
    if (timed(row)) used.push_back(row);
  }
  for (const std::string& operators : ran) m.free_.erase(operators);
  if (used.size() < kLeastRows)
    throw bad_input("tables",
                    "hold " + std::to_string(used.size()) + " timed regions, a model needs " +
                        std::to_string(kLeastRows),
                    "give espalier calibrate more time with --minutes");
  m.rows_ = used.size();
  m.words_ = frequent_words(used);
  m.least_ms_ = m.most_ms_ = used[0].ms;
  FeatureTable x(m.features(used[0].facts).size());
  std::vector<double> y;
  for (const RegionRow& row : used) {
    x.add(m.features(row.facts));
    y.push_back(std::log(row.ms));
    m.least_ms_ = std::min(m.least_ms_, row.ms);
    m.most_ms_ = std::max(m.most_ms_, row.ms);
  }
  m.ridge_ = RidgeRegression::fit(x, y, options.ridge);
  for (size_t i = 0; i < y.size(); ++i) y[i] -= m.ridge_.predict(x.row(i));
  m.trees_ = BoostedTrees::fit(x, y, options.trees);
  return m;
}

std::vector<double> CostModel::features(const RegionFacts& facts) const {
  std::vector<double> row = numeric_features(facts, peaks_, machine_.threads);
  const auto words = words_of(facts);
  for (const std::string& word : words_)
    row.push_back(double(std::count(words.begin(), words.end(), word)));
  return row;
}

double CostModel::predict_ms(const RegionFacts& facts) const {
  if (free_.contains(facts.operators)) return 0;
  const std::vector<double> row = features(facts);
  const double y = ridge_.predict(row) + trees_.predict(row);
  // Beyond what was measured the ridge goes on; a wild guess is kept within the roofline's reach.
  const double least = std::log(least_ms_ / 2);
  const double most =
      std::log(2 * std::max(most_ms_, 20 * roofline_ms(facts, peaks_, machine_.threads)));
  return std::exp(std::clamp(y, std::min(least, most), most));
}

double CostModel::predict_ms(const Graph& graph, NodeId node) const {
  return computed_beforehand(graph, node) ? 0 : predict_ms(region_facts(graph, node));
}

double CostModel::predict_ms(const Graph& graph) const {
  double sum = 0;
  for (NodeId id : graph.order()) sum += predict_ms(graph, id);
  return sum;
}

std::string CostModel::text() const {
  const Json j = {{"espalier_cost_model", kModelVersion},
                  {"machine", machine_json(machine_)},
                  {"peaks", peaks_json(peaks_)},
                  {"rows", rows_},
                  {"words", words_},
                  {"free", free_},
                  {"least_ms", least_ms_},
                  {"most_ms", most_ms_},
                  {"ridge", ridge_.to_json()},
                  {"trees", trees_.to_json()}};
  return dumped(j) + "\n";
}

CostModel CostModel::parse(std::string_view text, const std::string& where, const MachineId& here) {
  const Json j = parsed_file(text, where, "espalier_cost_model", kModelVersion);
  CostModel m;
  try {
    m.machine_ = machine_from(j.at("machine"));
    m.peaks_ = peaks_from(j.at("peaks"));
    m.rows_ = j.at("rows").get<size_t>();
    m.words_ = j.at("words").get<std::vector<std::string>>();
    m.free_ = j.at("free").get<std::set<std::string>>();
    m.least_ms_ = j.at("least_ms").get<double>();
    m.most_ms_ = j.at("most_ms").get<double>();
    if (!(m.least_ms_ > 0) || !(m.most_ms_ >= m.least_ms_))
      throw bad_input("least_ms", "is no time");
    const size_t columns = m.features(RegionFacts{}).size();
    m.ridge_ = RidgeRegression::from_json(j.at("ridge"), columns);
    m.trees_ = BoostedTrees::from_json(j.at("trees"), columns);
  } catch (const Json::exception& e) {
    throw bad_input(where, std::string("is damaged: ") + e.what(), kMeasureAgain);
  } catch (const UserError& e) {
    throw bad_input(where, std::string("is damaged: ") + e.what(), kMeasureAgain);
  }
  refuse_foreign(where, m.machine_, here);
  return m;
}

CostModel load_cost_model(const std::filesystem::path& tables, const MachineId& here) {
  const std::filesystem::path path = model_path(tables);
  std::error_code ignored;
  if (tables.empty() || !std::filesystem::exists(path, ignored))
    throw bad_input(tables.empty() ? "cost model" : path.string(),
                    "there is no cost model of " + here.text(),
                    "run espalier calibrate at --threads " + std::to_string(here.threads));
  return CostModel::parse(read_file(path), path.string(), here);
}

void save_cost_model(const CostModel& model, const std::filesystem::path& tables) {
  write_file_atomic(model_path(tables), model.text());
}

}  // namespace espalier
