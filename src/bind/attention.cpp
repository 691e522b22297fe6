// Regions of attention by our own loops.
#include <algorithm>

#include "bind/attention_form.h"
#include "bind/contraction.h"
#include "bind/families.h"
#include "bind/region_source.h"

namespace espalier::bind {
namespace {

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
  const kernels::AttentionSpec& s = form.spec.form;
  if (body->outputs().size() != 1 || body->outputs()[0] != form.result)
    return Refuse{"the region gives more than the attention"};
  if (s.type != DType::f32 && s.type != DType::bf16)
    return Refuse{"the operands are " + std::string(name_of(s.type))};
  if (s.masks.size() > kernels::kMostMasks) return Refuse{"it has too many masks"};

  const bool rounds = form.spec.rounds();
  if (rounds && (s.few_queries() || s.type != DType::f32))
    return Refuse{"of few queries, or not of f32, and rounded on the way"};
  if (s.few_queries() && (s.k.feature != 1 || s.v.feature != 1))
    return Refuse{"of few queries, and the numbers of a key do not lie side by side"};

  const std::pair<ValueId, const std::optional<kernels::Quantised>&> operands[] = {
      {form.q, form.spec.q}, {form.k, form.spec.k}, {form.v, form.spec.v}};
  std::vector<RegionSource> sources;
  for (const auto& [v, stored] : operands) {
    sources.push_back(region_source(*body, v));
    if (body->value(v).tensor().dtype != (stored ? stored->type : s.type))
      return Refuse{"the operands' types differ"};
  }
  for (ValueId v : form.masks) {
    sources.push_back(region_source(*body, v));
    if (body->value(v).tensor().dtype != s.type) return Refuse{"a mask is of another type"};
  }

  return function_kernel(
      rounds        ? "attention rounded"
      : s.quantised ? "attention quantised"
                    : "attention",
      [spec = form.spec, rounds, sources, body](const KernelArgs& k) {
        kernels::AttentionOperands o{
            sources[0].address(k), sources[1].address(k), sources[2].address(k), k.out[0], {}};
        for (size_t i = 0; i < spec.form.masks.size(); ++i) o.masks[i] = sources[3 + i].address(k);
        rounds ? kernels::rounded_attention(spec, o) : kernels::attention(spec.form, o);
      });
}

}  // namespace

Entries attention_entries() { return {{"espalier.Fused", {"attention", bind_attention}}}; }

}  // namespace espalier::bind
