// Every kernel that accepts a sample of a room agrees with the room's reference; generated from the
// samples of all rooms, with operands known at compile time and not, plain and channels-last.
#include <gtest/gtest.h>

#include "base/threads.h"
#include "bind/binder.h"
#include "ops/catalogue.h"
#include "tests/support/samples.h"

namespace espalier {
namespace {

using testing::SampleCase;

std::vector<SampleCase> cases() {
  ops::register_rooms();
  return testing::all_sample_cases();
}

class Candidates : public ::testing::TestWithParam<SampleCase> {};
INSTANTIATE_TEST_SUITE_P(All, Candidates, ::testing::ValuesIn(cases()),
                         [](const auto& info) { return info.param.name(); });

Tensor moved(const Tensor& t, Layout from, Layout to) {
  Tensor y(t.dtype(), t.shape());
  const auto launch = reorder_kernel(t.dtype(), t.shape(), from, to)->launch();
  const void* in = t.raw();
  void* out = y.mutable_raw();
  launch->place({&in, 1}, {&out, 1}, nullptr);
  launch->run();
  return y;
}

/// Generated code wherever it can serve, cut small so that samples have several tiles.
class Everything : public KernelChoices {
 public:
  std::optional<kernels::GemmTile> tile_for(const kernels::GemmProblem&) const override {
    return kernels::GemmTile{.rows = 2, .vectors = 1, .unroll = 2, .k_block = 3};
  }
};

struct Setup {
  std::vector<Type> types;
  std::vector<Tensor> operands;
  BindRequest request{nullptr, {}, TypesIn("", {}), {}, {}, {}};
};

/// The sample as a request; `known`: operands after the first are constants.
std::unique_ptr<Setup> setup(const SampleCase& c, DType float_type, bool known, Layout layout) {
  auto s = std::make_unique<Setup>();
  s->operands = testing::sample_operands(c, float_type);
  const auto& specs = c.sample().inputs;
  s->types.resize(specs.size());
  std::vector<TypesIn::Operand> in(specs.size());
  std::vector<const Tensor*> pointers(specs.size(), nullptr);
  for (size_t i = 0; i < specs.size(); ++i) {
    s->request.layouts.push_back(layout);
    if (specs[i].absent) continue;
    s->types[i] = TensorType(s->operands[i].dtype(), s->operands[i].shape());
    const bool constant = specs[i].constant || (known && i > 0);
    in[i] = {&s->types[i], constant ? &s->operands[i] : nullptr};
    if (constant) s->request.layouts[i] = Layout::kPlain;
  }
  static const Everything everything;
  s->request.choices = &everything;
  s->request.room = c.room;
  s->request.attrs = c.sample().attrs;
  s->request.in = TypesIn(c.name(), in);
  const Graph g = testing::sample_graph(c, s->operands, nullptr);
  for (ValueId v : g.node(g.order().back()).outputs) {
    s->request.wanted.push_back(v != kNoValue);
    s->request.out.push_back(v == kNoValue ? Type() : g.value(v).type);
  }
  return s;
}

std::vector<Tensor> run(const Kernel& kernel, const Setup& s) {
  std::vector<Tensor> held, results;
  std::vector<const void*> in;
  std::vector<void*> out;
  for (size_t i = 0; i < s.operands.size(); ++i) {
    if (s.types[i] == Type() && s.operands[i].size() == 0 && !s.request.in.has(i)) {
      in.push_back(nullptr);
      continue;
    }
    held.push_back(moved(s.operands[i], Layout::kPlain, kernel.operand_layout(i)));
    in.push_back(kernel.absorbs(i) ? nullptr : held.back().raw());
  }
  for (size_t i = 0; i < s.request.out.size(); ++i) {
    if (!s.request.wanted[i]) {
      results.emplace_back();
      out.push_back(nullptr);
      continue;
    }
    results.emplace_back(s.request.out_dtype(i), s.request.out_shape(i));
    // What a kernel leaves unwritten must show.
    if (results[i].bytes() > 0) std::memset(results[i].mutable_raw(), 0x7b, results[i].bytes());
    out.push_back(results[i].mutable_raw());
  }
  std::vector<std::byte> scratch(kernel.scratch_bytes + 64);
  void* aligned = reinterpret_cast<void*>((uintptr_t(scratch.data()) + 63) / 64 * 64);
  const auto launch = kernel.launch();
  launch->place(in, out, aligned);
  launch->run();
  for (size_t i = 0; i < results.size(); ++i)
    if (s.request.wanted[i])
      results[i] = moved(results[i], kernel.result_layout(i), Layout::kPlain);
  return results;
}

void check(const SampleCase& c, DType type, bool known, Layout layout, double rtol, double atol) {
  std::unique_ptr<Setup> s;
  for (const OperandSpec& spec : c.sample().inputs)
    if (spec.form != OperandSpec::Form::kTensor) return;  // kernels see tensors only
  try {
    s = setup(c, type, known, layout);
  } catch (const UserError&) {
    return;  // the room does not take this element type
  }
  for (size_t i = 0; i < s->request.out.size(); ++i)
    if (const Type& t = s->request.out[i];
        s->request.wanted[i] && (!t.is_tensor() || !t.tensor().is_static()))
      return;
  for (const Tensor& t : s->operands)
    if (t.dtype() == DType::string) return;  // bind_fast hands no kernel strings
  std::vector<const Tensor*> pointers;
  for (size_t i = 0; i < s->operands.size(); ++i)
    pointers.push_back(s->request.in.has(i) ? &s->operands[i] : nullptr);
  const auto want = run_reference(*c.room, c.sample().attrs, pointers);
  for (const Candidate& candidate : candidates_for(*c.room)) {
    const Bound bound = candidate.bind(s->request);
    if (const auto* no = std::get_if<Refuse>(&bound)) {
      EXPECT_FALSE(no->why.empty()) << candidate.name;
      continue;
    }
    const Kernel& kernel = *std::get<KernelPtr>(bound);
    if (kernel.view_of >= 0) continue;
    std::vector<Tensor> first;
    for (int threads : {1, 2}) {
      const ThreadScope scope(threads);
      const Bound again = candidate.bind(s->request);
      const auto got = run(*std::get<KernelPtr>(again), *s);
      ASSERT_LE(got.size(), want.size()) << kernel.name;
      for (size_t i = 0; i < got.size(); ++i) {
        if (!s->request.wanted[i]) continue;
        EXPECT_LE(testing::mismatch(got[i], want[i], rtol, atol), 1)
            << kernel.name << " result " << i << " as " << name_of(type)
            << (known ? ", operands known" : "")
            << (layout == Layout::kChannelsLast ? ", channels-last" : "");
        if (threads > 1 && kernel.thread_exact) {
          EXPECT_LE(testing::mismatch(got[i], first[i], 0, 1e-300), 1)
              << kernel.name << " result " << i << " depends on the number of threads";
        }
      }
      first = got;
    }
  }
}

TEST_P(Candidates, AgreeWithTheReference) {
  if (GetParam().room->reference.refused()) GTEST_SKIP() << GetParam().room->reference.why();
  for (bool known : {false, true})
    for (Layout layout : {Layout::kPlain, Layout::kChannelsLast}) {
      check(GetParam(), DType::f32, known, layout, 2e-5, 2e-5);
      check(GetParam(), DType::bf16, known, layout, 2e-2, 2e-2);
    }
}

}  // namespace
}  // namespace espalier
