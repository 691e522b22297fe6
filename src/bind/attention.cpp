// Regions of attention by our own loops.
#include <algorithm>

#include "bind/attention_form.h"
#include "bind/contraction.h"
#include "bind/families.h"

namespace espalier::bind {
namespace {

/// An operand of the request, or a constant of the region.
struct Source {
  int operand = -1;
  const void* constant = nullptr;
  const void* address(const KernelArgs& k) const {
    return operand >= 0 ? k.in[size_t(operand)] : constant;
  }
};

Source source_of(const Graph& g, ValueId v) {
  const auto inputs = g.inputs();
  if (const auto at = std::ranges::find(inputs, v); at != inputs.end())
    return {int(at - inputs.begin()), nullptr};
  return {-1, g.value(v).constant->raw()};
}

Bound bind_attention(const BindRequest& r) {
  const std::shared_ptr<const Graph> body = region_body(r);
  if (!body) return Refuse{"it is no region"};
  const auto& order = body->order();
  const auto softmax =
      std::ranges::find_if(order, [&](NodeId id) { return is_last_softmax(*body, id); });
  if (softmax == order.end()) return Refuse{"the region holds no softmax"};
  auto read = attention_form(*body, *softmax, [](NodeId) { return true; });
  if (auto* no = std::get_if<Refuse>(&read)) return *no;
  const AttentionForm form = std::get<AttentionForm>(std::move(read));
  const kernels::AttentionSpec& s = form.spec;
  if (body->outputs().size() != 1 || body->outputs()[0] != form.result)
    return Refuse{"the region gives more than the attention"};
  if (s.type != DType::f32 && s.type != DType::bf16)
    return Refuse{"the operands are " + std::string(name_of(s.type))};
  if (s.masks.size() > kernels::kMostMasks) return Refuse{"it has too many masks"};

  if (s.few_queries() && (s.k.feature != 1 || s.v.feature != 1))
    return Refuse{"of few queries, and the numbers of a key do not lie side by side"};

  std::vector<Source> sources;
  for (ValueId v : {form.q, form.k, form.v}) sources.push_back(source_of(*body, v));
  for (ValueId v : form.masks) sources.push_back(source_of(*body, v));
  for (ValueId v : {form.q, form.k, form.v})
    if (body->value(v).tensor().dtype != s.type) return Refuse{"the operands' types differ"};
  for (ValueId v : form.masks)
    if (body->value(v).tensor().dtype != s.type) return Refuse{"a mask is of another type"};

  return function_kernel("attention", [s, sources, body](const KernelArgs& k) {
    kernels::AttentionOperands o{
        sources[0].address(k), sources[1].address(k), sources[2].address(k), k.out[0], {}};
    for (size_t i = 0; i < s.masks.size(); ++i) o.masks[i] = sources[3 + i].address(k);
    kernels::attention(s, o);
  });
}

}  // namespace

Entries attention_entries() { return {{"espalier.Fused", {"attention", bind_attention}}}; }

}  // namespace espalier::bind
