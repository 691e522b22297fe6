// Nodes as exporters and quantisers write them give what ONNX Runtime gives: by reference,
// compiled, and after our own export.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "base/error.h"
#include "ir/interpret.h"
#include "ir/verify.h"
#include "onnx/export.h"
#include "ops/catalogue.h"
#include "runtime/session.h"
#include "tests/peer/cases.h"
#include "tests/support/tree.h"

namespace espalier {
namespace {
namespace fs = std::filesystem;
using testing::PeerCase;

struct Answer {
  std::string type;
  Shape shape;
  std::vector<double> values;
  std::vector<std::string> strings;
};
/// By case, then by the number of the result.
using Answers = std::map<std::string, std::map<int, Answer>>;

Answers read_answers() {
  std::ifstream file(testing::source_dir() + "/tests/peer/answers.txt");
  Answers answers;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream in(line.substr(0, line.find(':')));
    std::string name, shape;
    int result = 0;
    Answer a;
    in >> name >> result >> a.type >> shape;
    std::istringstream extents(shape);
    for (std::string d; std::getline(extents, d, ',');) a.shape.push_back(std::stoll(d));
    std::istringstream values(line.substr(line.find(':') + 1));
    for (std::string v; values >> v;) {
      if (a.type == "string")
        a.strings.push_back(v.substr(1, v.size() - 2));
      else if (v == "true" || v == "false")
        a.values.push_back(v == "true");
      else
        a.values.push_back(std::stod(v));
    }
    answers[name][result] = std::move(a);
  }
  return answers;
}
const Answers& answers() {
  static const Answers all = read_answers();
  return all;
}

void expect_answer(const Tensor& got, const Answer& want, double tolerance,
                   const std::string& how) {
  EXPECT_EQ(name_of(got.dtype()), want.type) << how;
  ASSERT_EQ(got.shape(), want.shape) << how;
  if (got.dtype() == DType::string) {
    for (int64_t i = 0; i < got.size(); ++i)
      EXPECT_EQ(got.span<std::string>()[size_t(i)], want.strings.at(size_t(i))) << how;
    return;
  }
  ASSERT_EQ(got.size(), int64_t(want.values.size())) << how;
  double worst = 0;
  int64_t where = 0;
  for (int64_t i = 0; i < got.size(); ++i) {
    const double x = got.at(i), y = want.values[size_t(i)];
    if (x == y || (std::isnan(x) && std::isnan(y))) continue;
    double error = std::abs(x - y);
    if (is_float(got.dtype())) error /= std::max(1.0, std::abs(y));
    if (!(error <= worst)) worst = error, where = i;
  }
  EXPECT_LE(worst, is_float(got.dtype()) ? tolerance : std::floor(tolerance))
      << how << ": element " << where << " is " << got.at(where) << ", "
      << want.values[size_t(where)] << " is wanted";
}

void expect_answers(const std::vector<Tensor>& got, const PeerCase& c, const std::string& how) {
  const auto found = answers().find(c.name());
  ASSERT_NE(found, answers().end()) << "no answer for " << c.name();
  ASSERT_EQ(got.size(), found->second.size()) << how;
  size_t i = 0;
  for (const auto& [number, want] : found->second)
    expect_answer(got[i++], want, c.tolerance(), how + ", result " + std::to_string(number));
}

class Peer : public ::testing::TestWithParam<PeerCase> {};

TEST_P(Peer, GivesTheSame) {
  const PeerCase& c = GetParam();
  const Graph g = c.model().import();
  EXPECT_EQ(violation(g), "");
  expect_answers(interpret(g, c.feed()), c, "reference");
  for (const Tensor& t : c.feed())
    if (t.dtype() == DType::string) return;  // programs run on numbers
  if (!c.feed().empty()) expect_answers(Model(g).run(c.feed()), c, "compiled");
}

TEST_P(Peer, SurvivesExport) {
  const PeerCase& c = GetParam();
  const Graph g = c.model().import();
  std::string bytes;
  try {
    bytes = export_onnx_bytes(g);
  } catch (const UserError& e) {
    // Opset 17 has no form for some of what later opsets brought.
    EXPECT_EQ(e.code(), ExitCode::kUnsupported) << e.what();
    GTEST_SKIP() << e.what();
  }
  const Graph back = import_onnx_bytes(bytes, "exported");
  expect_answers(interpret(back, c.feed()), c, "exported");
}

std::vector<PeerCase> cases() {
  ops::register_rooms();
  return testing::all_cases();
}

std::string name_of_case(const ::testing::TestParamInfo<PeerCase>& info) {
  std::string s = info.param.name();
  for (char& ch : s)
    if (!isalnum(static_cast<unsigned char>(ch))) ch = '_';
  return s;
}

INSTANTIATE_TEST_SUITE_P(All, Peer, ::testing::ValuesIn(cases()), name_of_case);

TEST(PeerAnswers, EveryOneBelongsToACase) {
  std::map<std::string, int> count;
  for (const PeerCase& c : cases()) ++count[c.name()];
  for (const auto& [name, n] : count) EXPECT_EQ(n, 1) << "two cases are named " << name;
  for (const auto& [name, answer] : answers()) EXPECT_TRUE(count.contains(name)) << name;
}

std::string json_of(const Tensor& t, const std::string& name) {
  std::ostringstream out;
  out.precision(17);
  out << "{\"name\":\"" << name << "\",\"type\":\"" << name_of(t.dtype()) << "\",\"dims\":[";
  for (size_t i = 0; i < t.shape().size(); ++i) out << (i ? "," : "") << t.shape()[i];
  out << "],\"data\":[";
  for (int64_t i = 0; i < t.size(); ++i) {
    out << (i ? "," : "");
    if (t.dtype() == DType::string)
      out << '"' << t.span<std::string>()[size_t(i)] << '"';
    else
      out << t.at(i);
  }
  out << "]}";
  return out.str();
}

// Not a check: writes what ONNX Runtime is asked.
TEST(PeerAnswers, WriteCases) {
  const char* folder = std::getenv("ESPALIER_PEER_CASES");
  if (!folder) GTEST_SKIP() << "ESPALIER_PEER_CASES names no folder";
  fs::create_directories(folder);
  for (const PeerCase& c : cases()) {
    const fs::path base = fs::path(folder) / c.name();
    std::ofstream(base.string() + ".onnx", std::ios::binary) << c.model().bytes();
    std::ofstream json(base.string() + ".json");
    json << "[";
    size_t fed = 0;
    testing::OnnxModel model = c.model();
    const auto& names = model.graph().input();
    for (const Tensor& t : c.feed()) {
      json << (fed ? "," : "") << json_of(t, names.Get(int(fed)).name());
      ++fed;
    }
    json << "]";
  }
}

}  // namespace
}  // namespace espalier
