#include "ops/reduction/arg_extreme.h"
#include "ops/emit.h"

namespace espalier::ops {
namespace {

std::vector<bool> mask_of(const ArgExtreme& a, const TypesIn& in) {
  return axis_mask(in, std::array{a.axis}, in[0].rank());
}

}  // namespace

Types infer_arg_extreme(const ArgExtreme& a, const TypesIn& in) {
  if (in[0].dtype == DType::string || in[0].dtype == DType::boolean)
    in.fail("cannot compare " + to_string(in[0]), "a numeric type is needed");
  if (in[0].dims[size_t(axis_of(in, 0, a.axis))].is(0))
    in.fail("an axis of extent 0 has no extreme element");
  return {TensorType(DType::i64, reduced_dims(in[0].dims, mask_of(a, in), a.keepdims))};
}

Cost arg_extreme_cost(const ArgExtreme&, const TypesIn& in, const Types& out) {
  return {0, double(in[0].numel()), traffic(in, out)};
}

AxisMap arg_extreme_axes(const ArgExtreme& a, const TypesIn& in, const Types&) {
  return reduced_ties(in, mask_of(a, in), a.keepdims, ReducedAxis::kFixed, false);
}

void emit_arg_extreme(const ArgExtreme& a, CWriter& c, const std::string& better) {
  const std::string type = c_type(c.dtype(0));
  c.fold(
      mask_of(a, c.types()),
      [&] {
        c.line(type + " best = 0;");
        c.line("int k = -1, at = -1;");
      },
      {[&](const std::string& at) {
        c.line("const " + type + " x = " + c.load(0, at) + ";");
        c.line("++k;");
        c.block("if (at < 0 || x " + better + (a.select_last_index ? "=" : "") + " best)", [&] {
          c.line("best = x;");
          c.line("at = k;");
        });
      }},
      [&](const std::string& to) { c.store(0, to, "at"); });
}

}  // namespace espalier::ops
