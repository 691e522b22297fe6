#include "ops/linear/equation.h"

#include <cctype>

namespace espalier::ops {
namespace {

constexpr int kEllipsis = 256;  ///< its last axis; the ones before count up

/// One term as labels; an ellipsis takes the axes that the letters leave. The result's term has no
/// rank (-1) but `ellipsis` such axes; without an ellipsis of its own they are summed over.
Labels term_labels(const std::string& term, int64_t rank, int64_t ellipsis, const TypesIn& in) {
  const size_t dots = term.find("...");
  std::string letters = term;
  if (dots != std::string::npos) letters.erase(dots, 3);
  for (char c : letters)
    if (!std::isalpha(static_cast<unsigned char>(c)))
      in.fail("the term '" + term + "' holds '" + std::string(1, c) + "'",
              "axes are named by letters, the rest of them by one '...'");
  const int64_t left = rank < 0 ? ellipsis : rank - int64_t(letters.size());
  if (left < 0 || (rank > 0 && left > 0 && dots == std::string::npos))
    in.fail("the term '" + term + "' does not name the axes of an operand of rank " +
            std::to_string(rank));
  Labels labels;
  for (size_t i = 0; i <= letters.size(); ++i) {
    if (i == dots)
      for (int64_t k = left; k-- > 0;) labels.push_back(kEllipsis + int(k));
    if (i < letters.size()) labels.push_back(static_cast<unsigned char>(letters[i]));
  }
  return labels;
}

std::vector<std::string> split_terms(const std::string& text) {
  std::vector<std::string> terms(1);
  for (char c : text) {
    if (c == ',')
      terms.emplace_back();
    else
      terms.back() += c;
  }
  return terms;
}

/// Axes of ellipses first, then the letters that occur once, in the order of the alphabet.
Labels implicit_result(const std::vector<Labels>& operands, int64_t ellipsis) {
  Labels all, result;
  for (int64_t k = ellipsis; k-- > 0;) result.push_back(kEllipsis + int(k));
  for (const Labels& labels : operands) all.insert(all.end(), labels.begin(), labels.end());
  std::sort(all.begin(), all.end());
  for (int label : all)
    if (label < kEllipsis && std::count(all.begin(), all.end(), label) == 1)
      result.push_back(label);
  return result;
}

std::string name_of_label(int label) {
  return label < kEllipsis ? "'" + std::string(1, char(label)) + "'" : "an axis of '...'";
}

void add_extent(Equation& e, int label, const Dim& own, const TypesIn& in) {
  for (auto& [known, extent] : e.extents) {
    if (known != label) continue;
    if (extent.known() && own.known() && !(extent == own) && !extent.is(1) && !own.is(1))
      in.fail(name_of_label(label) + " stands for extents " + to_string(extent) + " and " +
              to_string(own));
    extent = broadcast_dims(in, {extent}, {own})[0];
    return;
  }
  e.extents.emplace_back(label, own);
}

}  // namespace

const Dim& Equation::extent(int label) const {
  for (const auto& [known, extent] : extents)
    if (known == label) return extent;
  ESP_CHECK(false, "a label without an axis");
}

Equation parse_equation(const std::string& text, const TypesIn& in) {
  std::string compact;
  for (char c : text)
    if (c != ' ') compact += c;
  const size_t arrow = compact.find("->");
  const auto terms = split_terms(compact.substr(0, arrow));
  if (terms.size() != in.size())
    in.fail("the equation '" + text + "' is for " + std::to_string(terms.size()) +
            " operands, there are " + std::to_string(in.size()));
  Equation e;
  int64_t ellipsis = 0;
  for (size_t i = 0; i < terms.size(); ++i) {
    e.operands.push_back(term_labels(terms[i], in[i].rank(), 0, in));
    const Labels& labels = e.operands.back();
    for (size_t d = 0; d < labels.size(); ++d) add_extent(e, labels[d], in[i].dims[d], in);
    ellipsis = std::max<int64_t>(ellipsis, std::count_if(labels.begin(), labels.end(),
                                                         [](int l) { return l >= kEllipsis; }));
  }
  if (arrow == std::string::npos) {
    e.result = implicit_result(e.operands, ellipsis);
    return e;
  }
  e.result = term_labels(compact.substr(arrow + 2), -1, ellipsis, in);
  for (int label : e.result) {
    if (std::count(e.result.begin(), e.result.end(), label) > 1)
      in.fail("the result of '" + text + "' names " + name_of_label(label) + " twice");
    if (std::none_of(e.operands.begin(), e.operands.end(),
                     [&](const Labels& l) { return contains(l, label); }))
      in.fail("the result of '" + text + "' names " + name_of_label(label) +
              ", which no operand has");
  }
  return e;
}

}  // namespace espalier::ops
