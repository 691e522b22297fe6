#include "ir/c_writer.h"

#include <algorithm>

#include "base/error.h"
#include "ir/builder.h"

namespace espalier {
namespace {

struct LoopDim {
  int64_t extent = 1;
  std::vector<int64_t> strides;  // of each walk
};

/// Extents with their strides, those of 1 left out and those that continue each other joined.
std::vector<LoopDim> loop_dims(const Shape& extents, const std::vector<CWalk>& walks) {
  std::vector<LoopDim> dims;
  for (size_t d = 0; d < extents.size(); ++d) {
    if (extents[d] == 1) continue;
    LoopDim dim{extents[d], {}};
    for (const CWalk& walk : walks) dim.strides.push_back(walk.strides.at(d));
    bool joins = !dims.empty();
    for (size_t w = 0; joins && w < walks.size(); ++w)
      joins = dims.back().strides[w] == dim.strides[w] * dim.extent;
    if (joins)
      dims.back() = {dims.back().extent * dim.extent, dim.strides};
    else
      dims.push_back(std::move(dim));
  }
  return dims;
}

/// "12 + i0 * 4 + i1".
std::string index_of(int64_t offset, const std::vector<std::pair<std::string, int64_t>>& terms) {
  std::string text = offset != 0 ? std::to_string(offset) : "";
  for (const auto& [name, stride] : terms) {
    if (stride == 0) continue;
    const int64_t size = stride < 0 ? -stride : stride;
    if (stride < 0)
      text += text.empty() ? "-" : " - ";
    else if (!text.empty())
      text += " + ";
    text += size == 1 ? name : name + " * " + std::to_string(size);
  }
  return text.empty() ? "0" : text;
}

}  // namespace

Tensor dequantised(const CQuantised& q) {
  const Tensor& stored = *q.constant;
  Tensor real(DType::f32, stored.shape());
  const int64_t behind =
      q.scales.size() > 1 ? product(stored.shape(), size_t(q.axis) + 1, stored.shape().size()) : 1;
  for (int64_t i = 0; i < stored.size(); ++i) {
    const auto s = q.scales.size() > 1 ? size_t(i / behind) % q.scales.size() : size_t{0};
    real.mutable_data<float>()[i] = float(stored.int_at(i) - q.zero_points[s]) * q.scales[s];
  }
  return real;
}

CWriter::CWriter(CModule& module, const Graph& graph, NodeId node, std::vector<CSource> sources,
                 std::vector<CTarget> targets)
    : module_(module),
      graph_(graph),
      node_(node),
      types_(types_in(graph, node)),
      results_(types_out(graph, node)),
      sources_(std::move(sources)),
      targets_(std::move(targets)),
      whole_in_(sources_.size()),
      whole_out_(targets_.size()),
      views_(targets_.size(), -1) {}

std::vector<int64_t> CWriter::list(size_t i) const {
  const auto values = types_.ints(i);
  if (!values) refuse("operand " + std::to_string(i) + " must be constant");
  return *values;
}

void CWriter::refuse(const std::string& why) const {
  throw unsupported(describe(graph_, node_), "has no C form here: " + why);
}

std::string CWriter::in(size_t i) {
  if (!has(i)) return "0";
  const CSource& source = sources_[i];
  if (!source.quantised) return source.pointer;
  if (whole_in_[i].empty()) {
    if (source.quantised->constant)
      return whole_in_[i] = module_.table(dequantised(*source.quantised), "real");
    const std::string whole = scratch(dtype(i), size(i));
    nest({size(i)}, {{0, {1}}}, [&](const std::vector<std::string>& at) {
      line(whole + "[" + at[0] + "] = " + load(i, at[0]) + ";");
    });
    whole_in_[i] = whole;
  }
  return whole_in_[i];
}

std::string CWriter::out(size_t o) {
  const CTarget& target = targets_[o];
  if (plain_out(o)) return target.pointer;
  // Elements of equal size are converted where they are.
  if (whole_out_[o].empty())
    whole_out_[o] =
        target.stored == out_dtype(o) ? target.pointer : scratch(out_dtype(o), out_size(o));
  return whole_out_[o];
}

std::string CWriter::load(size_t i, const std::string& index) {
  const CSource& source = sources_[i];
  if (!source.quantised) return source.pointer + "[" + index + "]";
  const CQuantised& q = *source.quantised;
  if (q.constant) return in(i) + "[" + index + "]";
  std::string scale = c_literal(double(q.scales[0]), dtype(i));
  if (q.scales.size() > 1) {
    const Shape own = shape(i);
    const int64_t behind = product(own, size_t(q.axis) + 1, own.size());
    scale = table(Tensor::from<float>({int64_t(q.scales.size())}, std::span(q.scales)), "scales") +
            "[(" + index + ") / " + std::to_string(behind) + " % " +
            std::to_string(q.scales.size()) + "]";
  }
  const std::string stored = "(int32_t)" + q.pointer + "[" + index + "]";
  const int64_t zero = q.zero_points[0];
  const std::string centred =
      zero == 0 ? stored
                : "(" + stored + (zero < 0 ? " + " : " - ") + std::to_string(std::abs(zero)) + ")";
  return "((" + c_type(dtype(i)) + ")" + centred + " * " + scale + ")";
}

void CWriter::store(size_t o, const std::string& index, const std::string& value) {
  const CTarget& target = targets_[o];
  if (target.pointer.empty()) return;
  const std::string to = target.pointer + "[" + index + "] = ";
  if (plain_out(o)) return line(to + value + ";");
  block("", [&] {
    line("const " + c_type(out_dtype(o)) + " r = " + value + ";");
    for (const CStep& step : target.steps)
      line("const " + c_type(step.dtype) + " " + step.name + " = " +
           replaced(replaced(step.expression, "$", "r"), "#", index) + ";");
    line(to + target.steps.back().name + ";");
  });
}

void CWriter::view(size_t o, size_t i) {
  if (!wants(o)) return;
  if (!sources_[i].quantised && plain_out(o)) {
    views_[o] = int(i);
    return;
  }
  overlay(o, i);
  copy(i, {0, {1}}, o, {0, {1}}, {size(i)});
}

void CWriter::overlay(size_t o, size_t i) {
  if (has(i) && size_of(sources_[i].stored) == size_of(targets_[o].stored))
    overlays_.emplace_back(o, i);
}

std::string CWriter::scratch(DType dtype, int64_t count) {
  const std::string name =
      "scratch" + std::to_string(node_) + "_" + std::to_string(scratches_.size());
  scratches_.push_back({name, dtype, std::max<int64_t>(count, 1)});
  return name;
}

std::string CWriter::table(const Tensor& values, const std::string& name) {
  return module_.table(values, name);
}

void CWriter::line(const std::string& text) {
  text_ += std::string(size_t(depth_) * 2, ' ') + text + "\n";
}

void CWriter::block(const std::string& head, const std::function<void()>& inside) {
  line(head.empty() ? "{" : head + " {");
  ++depth_;
  inside();
  --depth_;
  line("}");
}

void CWriter::call(const std::string& part, const std::string& function,
                   const std::vector<std::string>& arguments) {
  need(part);
  std::string text = function + "(";
  for (size_t i = 0; i < arguments.size(); ++i) text += (i ? ", " : "") + arguments[i];
  line(text + ");");
}

void CWriter::check(const std::string& condition) { line("if (!(" + condition + ")) return 1;"); }

void CWriter::run_body(const CFunction& body, const std::vector<std::string>& pointers) {
  body_bytes_ = std::max(body_bytes_, body.arena_bytes);
  std::string text = "if (" + body.name + "(" + (body.arena_bytes > 0 ? kBodyArena : "0");
  for (const auto& p : pointers) text += ", " + p;
  line(text + ")) return 1;");
}

void CWriter::nest(const Shape& extents, const std::vector<CWalk>& walks,
                   const std::function<void(const std::vector<std::string>& at)>& body) {
  if (numel(extents) == 0) return;
  const auto dims = loop_dims(extents, walks);
  std::vector<std::string> names;
  for (size_t d = 0; d < dims.size(); ++d) names.push_back("i" + std::to_string(loops_++));
  std::vector<std::string> at;
  for (size_t w = 0; w < walks.size(); ++w) {
    std::vector<std::pair<std::string, int64_t>> terms;
    for (size_t d = 0; d < dims.size(); ++d) terms.emplace_back(names[d], dims[d].strides[w]);
    at.push_back(index_of(walks[w].offset, terms));
  }
  std::function<void(size_t)> loop = [&](size_t d) {
    if (d == dims.size()) return body(at);
    block("for (int " + names[d] + " = 0; " + names[d] + " < " + std::to_string(dims[d].extent) +
              "; ++" + names[d] + ")",
          [&] { loop(d + 1); });
  };
  if (dims.empty())
    block("", [&] { loop(0); });
  else
    loop(0);
}

void CWriter::map(const std::string& expression) { map(expression, inputs()); }

void CWriter::map(const std::string& expression, size_t operands) {
  const Shape extents = out_shape(0);
  std::vector<CWalk> walks;
  for (size_t i = 0; i < operands; ++i) {
    walks.push_back({0, has(i) ? broadcast_strides(shape(i), extents)
                               : std::vector<int64_t>(extents.size(), 0)});
    if (has(i) && shape(i) == extents) overlay(0, i);
  }
  walks.push_back({0, strides_of(extents)});
  nest(extents, walks, [&](const std::vector<std::string>& at) {
    for (size_t i = 0; i < operands; ++i)
      if (has(i))
        line("const " + c_type(dtype(i)) + " x" + std::to_string(i) + " = " + load(i, at[i]) + ";");
    store(0, at.back(), with_suffix(expression, out_dtype(0)));
  });
}

void CWriter::map(const ScalarOp& op) {
  const auto count = size_t(operands_of(op.code));
  const bool compares = op.code >= ScalarCode::kEqual && op.code <= ScalarCode::kGreaterEqual;
  const auto text = c_expression(op, compares ? dtype(0) : out_dtype(0), "x0", "x1", "x2");
  if (!text) refuse("it is not defined on " + std::string(name_of(out_dtype(0))));
  map(*text, count);
}

void CWriter::copy(size_t i, const CWalk& from, size_t o, const CWalk& to, const Shape& extents) {
  if (!wants(o) || numel(extents) == 0) return;
  const bool plain = !sources_[i].quantised && plain_out(o);
  auto dims = loop_dims(extents, {from, to});
  int64_t run = 1;
  if (plain && !dims.empty() && dims.back().strides == std::vector<int64_t>{1, 1} &&
      dims.back().extent >= 4) {
    run = dims.back().extent;
    dims.pop_back();
  }
  Shape outer;
  CWalk source{from.offset, {}}, target{to.offset, {}};
  for (const LoopDim& d : dims) {
    outer.push_back(d.extent);
    source.strides.push_back(d.strides[0]);
    target.strides.push_back(d.strides[1]);
  }
  const auto place = [](const std::string& base, const std::string& at) {
    return at == "0" ? base : base + " + " + at;
  };
  nest(outer, {source, target}, [&](const std::vector<std::string>& at) {
    if (run == 1) return store(o, at[1], load(i, at[0]));
    line("memcpy(" + place(targets_[o].pointer, at[1]) + ", " + place(sources_[i].pointer, at[0]) +
         ", " + std::to_string(run * int64_t(size_of(sources_[i].stored))) + ");");
  });
}

void CWriter::fill(const std::string& value) {
  nest({out_size(0)}, {{0, {1}}},
       [&](const std::vector<std::string>& at) { store(0, at[0], value); });
}

void CWriter::fold(const std::vector<bool>& mask, const std::function<void()>& start,
                   const std::vector<std::function<void(const std::string& at)>>& sweeps,
                   const std::function<void(const std::string& at)>& end) {
  const Shape all = shape(0);
  const auto strides = strides_of(all);
  Shape kept, folded;
  CWalk outer, inner;
  for (size_t d = 0; d < all.size(); ++d) {
    (mask[d] ? folded : kept).push_back(all[d]);
    (mask[d] ? inner : outer).strides.push_back(strides[d]);
  }
  nest(kept, {outer, {0, strides_of(kept)}}, [&](const std::vector<std::string>& at) {
    start();
    for (const auto& sweep : sweeps)
      nest(folded, {inner}, [&](const std::vector<std::string>& in_at) {
        sweep(at[0] == "0" ? in_at[0] : in_at[0] == "0" ? at[0] : at[0] + " + " + in_at[0]);
      });
    end(at[1]);
  });
}

void CWriter::reduce(const std::vector<bool>& mask, DType wide, const std::string& init,
                     const std::string& step, const std::string& finish) {
  int64_t count = 1;
  for (size_t d = 0; d < mask.size(); ++d) count *= mask[d] ? shape(0)[d] : 1;
  fold(
      mask, [&] { line(c_type(wide) + " acc = " + with_suffix(init, wide) + ";"); },
      {[&](const std::string& at) {
        line("const " + c_type(dtype(0)) + " x = " + load(0, at) + ";");
        line("acc = " + with_suffix(step, wide) + ";");
      }},
      [&](const std::string& at) {
        store(0, at, with_suffix(replaced(finish, "@", std::to_string(count)), wide));
      });
}

void CWriter::convert_result(size_t o) {
  const std::string whole = whole_out_[o];
  nest({out_size(o)}, {{0, {1}}},
       [&](const std::vector<std::string>& at) { store(o, at[0], whole + "[" + at[0] + "]"); });
}

void CWriter::finish() {
  for (size_t o = 0; o < targets_.size(); ++o)
    if (!whole_out_[o].empty()) convert_result(o);
}

}  // namespace espalier
