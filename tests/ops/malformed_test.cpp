// Whatever operands and attributes say, a room answers or refuses with a UserError; no invariant of
// ours breaks. Samples are distorted at random: other ranks, extents, element types and integers,
// omitted operands, other attribute values.
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/rng.h"
#include "ir/registry.h"
#include "ops/catalogue.h"
#include "tests/support/samples.h"

namespace espalier {
namespace {

using testing::SampleCase;

/// A stream of small decisions.
class Dice {
 public:
  explicit Dice(const std::string& name) : rng_(29, stream_of(name)) {}
  int64_t pick(int64_t count) {
    return int64_t(rng_.uniform(uint64_t(next_++), 0, 1) * double(count));
  }
  /// Mostly a small integer, sometimes an extreme one.
  int64_t integer() {
    constexpr int64_t kExtremes[] = {std::numeric_limits<int64_t>::min(),
                                     std::numeric_limits<int64_t>::max(), -1, 0};
    return pick(4) == 0 ? kExtremes[pick(4)] : pick(11) - 5;
  }

 private:
  Rng rng_;
  int64_t next_ = 0;
};

void distort(AttributeValue& value, Dice& dice) {
  if (auto* i = std::get_if<int64_t>(&value)) *i = dice.integer();
  if (auto* f = std::get_if<float>(&value)) *f = float(dice.integer());
  if (auto* s = std::get_if<std::string>(&value)) *s = "?";
  if (auto* list = std::get_if<std::vector<int64_t>>(&value)) {
    if (dice.pick(2) == 0) list->push_back(dice.integer());
    if (!list->empty()) (*list)[size_t(dice.pick(int64_t(list->size())))] = dice.integer();
  }
}

void distort(Tensor& t, Dice& dice) {
  Shape shape = t.shape();
  switch (dice.pick(4)) {
    case 0: {  // another shape, zeros
      if (dice.pick(2) == 0 || shape.empty())
        shape.insert(shape.begin(), dice.pick(3));
      else
        shape[size_t(dice.pick(int64_t(shape.size())))] = dice.pick(5);
      t = Tensor(t.dtype(), shape);
      return;
    }
    case 1:  // a missing axis
      if (!shape.empty()) shape.pop_back();
      t = Tensor(t.dtype(), shape);
      return;
    case 2:  // another element type
      t = Tensor(DType(dice.pick(int64_t(DType::string) + 1)), shape);
      return;
    default:  // other integers
      if (t.dtype() != DType::i64 || t.size() == 0) return;
      t = t.clone();
      t.mutable_data<int64_t>()[dice.pick(t.size())] = dice.integer();
  }
}

class Malformed : public ::testing::TestWithParam<SampleCase> {};
INSTANTIATE_TEST_SUITE_P(All, Malformed,
                         ::testing::ValuesIn((ops::register_rooms(), testing::all_sample_cases())),
                         [](const auto& info) { return info.param.name(); });

TEST_P(Malformed, IsAnsweredOrRefused) {
  const SampleCase& c = GetParam();
  if (c.room->reference.refused()) GTEST_SKIP() << c.room->reference.why();
  const auto operands = testing::sample_operands(c);
  for (int round = 0; round < 60; ++round) {
    Dice dice(c.name() + "#" + std::to_string(round));
    auto given = operands;
    std::vector<const Tensor*> p;
    for (size_t i = 0; i < given.size(); ++i)
      p.push_back(c.sample().inputs[i].absent ? nullptr : &given[i]);
    AttributeMap attributes = c.room->print(c.sample().attrs, true);
    const int64_t targets = int64_t(given.size() + attributes.size());
    for (int64_t n = 1 + dice.pick(2); n > 0 && targets > 0; --n) {
      const int64_t at = dice.pick(targets);
      if (at >= int64_t(given.size()))
        distort(std::next(attributes.begin(), at - int64_t(given.size()))->second, dice);
      else if (dice.pick(8) == 0)
        p[size_t(at)] = nullptr;
      else
        distort(given[size_t(at)], dice);
    }
    try {
      run_reference(*c.room, c.room->parse(attributes, c.name()), p);
    } catch (const UserError& e) {
      EXPECT_FALSE(e.problem().empty());
    } catch (const std::exception& e) {
      std::string what = e.what();
      for (size_t i = 0; i < p.size(); ++i)
        what += "\n  operand " + std::to_string(i) + ": " +
                (p[i] ? to_string(TensorType(p[i]->dtype(), p[i]->shape())) : "omitted");
      ADD_FAILURE() << "round " << round << ": " << what;
    }
  }
}

}  // namespace
}  // namespace espalier
