// Optimiser steps, in place on the state they update, and the clipping of their gradients.
#include "kernels/optimiser.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "base/error.h"
#include "bind/attribute_reader.h"
#include "bind/families.h"
#include "bind/optimiser_step.h"

namespace espalier::bind {
namespace {

/// Parameter and moments in f32, the gradient in f32 or bf16, scalars in f32.
std::optional<Refuse> unfit(const BindRequest& r, size_t tensors, size_t rate) {
  for (size_t i = 0; i < tensors; ++i) {
    const DType t = r.in_dtype(i);
    if (t != DType::f32 && !(i == 1 && t == DType::bf16))
      return Refuse{"operand " + std::to_string(i) + " is " + std::string(name_of(t))};
  }
  if (r.in_dtype(rate) != DType::f32) return Refuse{"the learning rate is not f32"};
  for (bool w : r.wanted)
    if (!w) return Refuse{"a result is not asked for"};
  return std::nullopt;
}

BoundStep sgd_step(const BindRequest& r) {
  if (auto no = unfit(r, 3, 3)) return *no;
  const AttributeReader a(*r.room, r.attrs);
  const kernels::SgdArgs args{0, a.get<float>("momentum", 0), a.get<float>("weight_decay", 0),
                              a.integer("nesterov", 0) != 0, r.in_dtype(1)};
  return [args](int64_t n, const KernelArgs& k) {
    kernels::SgdArgs step = args;
    step.learning_rate = k.read<float>(3)[0];
    kernels::sgd_step(n, step, k.read<float>(0), k.in[1], k.read<float>(2), k.write<float>(0),
                      k.write<float>(1));
  };
}

BoundStep adamw_step(const BindRequest& r) {
  if (auto no = unfit(r, 4, 4)) return *no;
  if (r.in_dtype(5) != DType::i64 && r.in_dtype(5) != DType::f32)
    return Refuse{"the step count is " + std::string(name_of(r.in_dtype(5)))};
  const AttributeReader a(*r.room, r.attrs);
  kernels::AdamWArgs args{};
  args.beta1 = a.get<float>("beta1", 0.9f);
  args.beta2 = a.get<float>("beta2", 0.999f);
  args.epsilon = a.get<float>("epsilon", 1e-8f);
  args.weight_decay = a.get<float>("weight_decay", 0.01f);
  args.gradient_type = r.in_dtype(1);
  const bool integer = r.in_dtype(5) == DType::i64;
  return [args, integer, where = r.in.where()](int64_t n, const KernelArgs& k) {
    const double t = integer ? double(k.read<int64_t>(5)[0]) : double(k.read<float>(5)[0]);
    if (!(t >= 1)) throw bad_input(where, "step_count is " + std::to_string(t) + ", below 1");
    kernels::AdamWArgs step = args;
    step.learning_rate = k.read<float>(4)[0];
    step.unbias1 = float(1 / (1 - std::pow(double(args.beta1), t)));
    step.unbias2 = float(1 / (1 - std::pow(double(args.beta2), t)));
    kernels::adamw_step(n, step, k.read<float>(0), k.in[1], k.read<float>(2), k.read<float>(3),
                        k.write<float>(0), k.write<float>(1), k.write<float>(2));
  };
}

BoundStep lion_step(const BindRequest& r) {
  if (auto no = unfit(r, 3, 3)) return *no;
  const AttributeReader a(*r.room, r.attrs);
  const kernels::LionArgs args{0, a.get<float>("beta1", 0.9f), a.get<float>("beta2", 0.99f),
                               a.get<float>("weight_decay", 0), r.in_dtype(1)};
  return [args](int64_t n, const KernelArgs& k) {
    kernels::LionArgs step = args;
    step.learning_rate = k.read<float>(3)[0];
    kernels::lion_step(n, step, k.read<float>(0), k.in[1], k.read<float>(2), k.write<float>(0),
                       k.write<float>(1));
  };
}

struct NamedStep {
  const char *op, *kernel;
  BoundStep (*bind)(const BindRequest&);
};
constexpr NamedStep kSteps[] = {{"espalier.SgdStep", "sgd", sgd_step},
                                {"espalier.AdamWStep", "adamw", adamw_step},
                                {"espalier.LionStep", "lion", lion_step}};

const NamedStep* step_named(const Room& room) {
  const auto found = std::ranges::find(kSteps, room.full_name(), &NamedStep::op);
  return found == std::end(kSteps) ? nullptr : found;
}

/// All elements of a parameter; it and its moments stay where they are.
Bound bind_step(const BindRequest& r) {
  BoundStep step = range_step(r);
  if (auto* no = std::get_if<Refuse>(&step)) return *no;
  auto kernel = function_kernel(step_named(*r.room)->kernel,
                                [run = std::get<RangeStep>(std::move(step)),
                                 n = r.in[0].numel()](const KernelArgs& k) { run(n, k); });
  kernel->in_place = {{0, 0}};
  for (int i = 1; i < int(r.out.size()); ++i) kernel->in_place.emplace_back(i, i + 1);
  return kernel;
}

Bound bind_clip(const BindRequest& r) {
  const DType type = r.in_dtype(0);
  if (type != DType::f32 && type != DType::bf16)
    return Refuse{"the gradients are " + std::string(name_of(type))};
  for (bool w : r.wanted)
    if (!w) return Refuse{"a result is not asked for"};
  const float limit = AttributeReader(*r.room, r.attrs).get<float>("max_norm", 1);
  std::vector<int64_t> sizes;
  for (size_t i = 0; i < r.in.size(); ++i) sizes.push_back(r.in[i].numel());
  auto kernel = function_kernel("clip", [type, limit, sizes](const KernelArgs& k) {
    double sum = 0;
    for (size_t i = 0; i < sizes.size(); ++i)
      sum += kernels::sum_of_squares(sizes[i], type, k.in[i]);
    const double norm = std::sqrt(sum);
    const auto factor = float(norm > double(limit) ? double(limit) / norm : 1.0);
    for (size_t i = 0; i < sizes.size(); ++i)
      if (factor != 1.0f || k.in[i] != k.out[i])
        kernels::scale_by(sizes[i], type, factor, k.in[i], k.out[i]);
  });
  for (size_t i = 0; i < sizes.size(); ++i) kernel->in_place.emplace_back(int(i), int(i));
  return kernel;
}

}  // namespace

BoundStep range_step(const BindRequest& r) {
  const NamedStep* step = step_named(*r.room);
  return step ? step->bind(r) : BoundStep(Refuse{"is no step element by element"});
}

bool is_range_step(const Graph& g, NodeId id) { return step_named(*g.node(id).room) != nullptr; }

Entries optimiser_entries() {
  Entries entries = {{"espalier.ClipByGlobalNorm", {"clip", bind_clip}}};
  for (const NamedStep& step : kSteps) entries.push_back({step.op, {step.kernel, bind_step}});
  return entries;
}

}  // namespace espalier::bind
