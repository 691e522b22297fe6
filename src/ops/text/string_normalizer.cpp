// StringNormalizer, ONNX opset 10: strings [C] or [1, C] without the stop words, in lower or upper
// case. Nothing left gives one empty string. Stop words are compared without regard to case unless
// is_case_sensitive. How many strings are left depends on what they are.
#include "base/error.h"
#include "ops/common.h"
#include "ops/text/letters.h"

namespace espalier::ops {
namespace {

struct StringNormalizer {
  std::string case_change_action = "NONE";
  bool is_case_sensitive = false;
  std::string locale = "";
  std::vector<std::string> stopwords = {};
};

/// The strings that remain.
std::vector<std::string> normalized(const StringNormalizer& a, std::span<const std::string> x) {
  const auto folded = [&](const std::string& s) {
    return a.is_case_sensitive ? s : in_case(s, LetterCase::kLower);
  };
  std::vector<std::string> stop, kept;
  for (const std::string& word : a.stopwords) stop.push_back(folded(word));
  for (const std::string& s : x) {
    if (std::find(stop.begin(), stop.end(), folded(s)) != stop.end()) continue;
    kept.push_back(a.case_change_action == "NONE"
                       ? s
                       : in_case(s, a.case_change_action == "LOWER" ? LetterCase::kLower
                                                                    : LetterCase::kUpper));
  }
  if (kept.empty()) kept.emplace_back();
  return kept;
}

/// Languages whose letters change case by rules of their own.
void check_locale(const StringNormalizer& a, const TypesIn& in) {
  const std::string language = a.locale.substr(0, 2);
  if (language == "tr" || language == "az" || language == "lt")
    throw unsupported(in.where(), "changes case by the rules of the locale '" + a.locale + "'",
                      "only case rules that hold for all languages are known");
}

Types infer(const StringNormalizer& a, const TypesIn& in) {
  const std::string& action = a.case_change_action;
  if (action != "NONE" && action != "LOWER" && action != "UPPER")
    in.fail("case_change_action '" + action + "' is not known", "known: NONE, LOWER, UPPER");
  check_locale(a, in);
  const int64_t rank = in[0].rank();
  if (in[0].dtype != DType::string || rank < 1 || rank > 2 ||
      (rank == 2 && in[0].dims[0].known() && !in[0].dims[0].is(1)))
    in.fail("operand 0 is " + to_string(in[0]) + ", string[C] or string[1,C] is needed");
  TensorType out = in[0];
  if (rank == 2) out.dims[0] = Dim(1);
  if (const Tensor* x = in.constant(0))
    out.dims.back() = Dim(int64_t(normalized(a, x->span<std::string>()).size()));
  else if (!a.stopwords.empty() || out.dims.back().is(0))
    out.dims.back() = Dim::unknown();
  return {std::move(out)};
}

template <class Real>
void reference(const StringNormalizer& a, Ref<Real>& r) {
  const auto kept = normalized(a, r.tensor(0).template span<std::string>());
  std::copy(kept.begin(), kept.end(), r.out_tensor(0).template mutable_data<std::string>());
}

Cost cost(const StringNormalizer&, const TypesIn& in, const Types& out) {
  return move_cost(in, out);
}

AxisMap axes(const StringNormalizer&, const TypesIn&, const Types&) { return {}; }

}  // namespace

const Room& string_normalizer() {
  const auto words = [](Shape shape, std::initializer_list<std::string> values) {
    return OperandSpec::fixed(Tensor::from<std::string>(std::move(shape), values));
  };
  static const Room room = make_room<StringNormalizer>({
      .onnx = {"StringNormalizer", 10},
      .arity = {1, 1},
      .attributes = {{"case_change_action", &StringNormalizer::case_change_action},
                     {"is_case_sensitive", &StringNormalizer::is_case_sensitive},
                     {"locale", &StringNormalizer::locale},
                     {"stopwords", &StringNormalizer::stopwords}},
      .infer = infer,
      .reference = ESP_REFERENCE(StringNormalizer, reference),
      .gradient = not_differentiable(),
      .cost = cost,
      .axes = axes,
      .quantize = no_quantize(),
      .pointwise = not_pointwise(),
      .expand = no_expand(),
      .emit = needs_growing_memory(),
      .samples = {{{}, {words({2}, {"Espalier", "grün"})}},
                  {{"UPPER", false, "", {"MONDAY"}}, {words({1, 2}, {"monday", "ärger"})}},
                  {{"LOWER", true, "en_US", {"A"}}, {words({3}, {"A", "a", "B"})}},
                  {{"NONE", true, "", {"A"}}, {words({2}, {"A", "A"})}}},
  });
  return room;
}

}  // namespace espalier::ops
