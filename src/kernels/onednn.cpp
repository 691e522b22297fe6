#include "kernels/onednn.h"

#include <cstring>
#include <variant>

#include "base/error.h"
#include "base/threads.h"

namespace espalier::kernels {

using dnnl::memory;

const dnnl::engine& cpu_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

bool integer_sums_saturate() {
  const auto isa = unsigned(dnnl::get_effective_cpu_isa());
  const auto has = [isa](dnnl::cpu_isa least) {
    return (isa & unsigned(least)) == unsigned(least);
  };
  return !has(dnnl::cpu_isa::avx512_core_vnni) && !has(dnnl::cpu_isa::avx2_vnni);
}

bool has_bf16() {
  const auto least = unsigned(dnnl::cpu_isa::avx512_core);
  return (unsigned(dnnl::get_effective_cpu_isa()) & least) == least;
}

std::string onednn_instruction_set() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::sse41: return "sse41";
    case dnnl::cpu_isa::avx: return "avx";
    case dnnl::cpu_isa::avx2: return "avx2";
    case dnnl::cpu_isa::avx2_vnni: return "avx2_vnni";
    case dnnl::cpu_isa::avx512_core: return "avx512_core";
    case dnnl::cpu_isa::avx512_core_vnni: return "avx512_core_vnni";
    case dnnl::cpu_isa::avx512_core_bf16: return "avx512_core_bf16";
    case dnnl::cpu_isa::avx512_core_amx: return "avx512_core_amx";
    default: return "isa_" + std::to_string(unsigned(dnnl::get_effective_cpu_isa()));
  }
}

std::string onednn_version() {
  const dnnl_version_t* v = dnnl_version();
  return "oneDNN " + std::to_string(v->major) + "." + std::to_string(v->minor) + "." +
         std::to_string(v->patch);
}

bool onednn_supports(DType t) {
  return t == DType::f32 || t == DType::bf16 || t == DType::i32 || t == DType::i8 || t == DType::u8;
}

memory::data_type onednn_type(DType t) {
  switch (t) {
    case DType::f32: return memory::data_type::f32;
    case DType::bf16: return memory::data_type::bf16;
    case DType::i32: return memory::data_type::s32;
    case DType::i8: return memory::data_type::s8;
    case DType::u8: return memory::data_type::u8;
    default: throw NoPrimitive{"oneDNN has no " + std::string(name_of(t))};
  }
  return memory::data_type::undef;
}

memory::desc plain_desc(const Shape& shape, DType type) {
  return memory::desc(shape, onednn_type(type), strides_of(shape));
}

memory::desc channels_last_desc(const Shape& shape, DType type) {
  memory::dims strides(shape.size());
  int64_t step = shape[1];
  strides[1] = 1;
  for (size_t d = shape.size(); d-- > 2;) {
    strides[d] = step;
    step *= shape[d];
  }
  strides[0] = step;
  return memory::desc(shape, onednn_type(type), strides);
}

memory::desc any_desc(const Shape& shape, DType type) {
  return memory::desc(shape, onednn_type(type), memory::format_tag::any);
}

dnnl::primitive_attr base_attributes() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

namespace {

constexpr size_t kAlignment = 64;

template <class T>
std::string listed(const T* values, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += (i ? "," : "") + std::to_string(values[i]);
  return text;
}

/// All of a layout, as text. Layouts that are not blocked are oneDNN's own secret: their bits.
WeightForm layout_form(const memory::desc& desc) {
  const dnnl_memory_desc_t& d = desc.data;
  std::string text = std::to_string(int(d.data_type)) + "[" + listed(d.dims, d.ndims) + "]";
  if (d.format_kind != dnnl_blocked) {
    const auto* bits = reinterpret_cast<const unsigned char*>(&d.format_desc);
    return {text + " opaque " + listed(bits, int(sizeof d.format_desc)), false};
  }
  const dnnl_blocking_desc_t& b = d.format_desc.blocking;
  text += " to [" + listed(d.padded_dims, d.ndims) + "] from [" +
          listed(d.padded_offsets, d.ndims) + "]+" + std::to_string(d.offset0) + " strides [" +
          listed(b.strides, d.ndims) + "]";
  if (b.inner_nblks > 0)
    text += " blocks [" + listed(b.inner_blks, b.inner_nblks) + "] of [" +
            listed(b.inner_idxs, b.inner_nblks) + "]";
  if (d.extra.flags != 0)
    text += " extra " + std::to_string(d.extra.flags) + " " +
            std::to_string(d.extra.compensation_mask) + " " + std::to_string(d.extra.scale_adjust) +
            " " + std::to_string(d.extra.asymm_compensation_mask);
  return {text, true};
}

WeightForm form_of(const memory::desc& from, const memory::desc& to) {
  const WeightForm source = layout_form(from), target = layout_form(to);
  return {onednn_version() + " " + source.name + " as " + target.name,
          source.portable && target.portable};
}

struct Execute {
  dnnl::primitive primitive;
  std::vector<SequenceBuilder::Arg> args;
};
struct Copy {
  Ref from, to;
  size_t bytes;
};
using Step = std::variant<Execute, Copy>;

}  // namespace

struct PrimitiveSequence::Impl {
  std::vector<Step> steps;
  std::vector<PackedWeight> kept;
  size_t scratch = 0, kept_bytes = 0;
  bool one_thread = false;
  std::string implementation;
};

namespace {

using Sequence = PrimitiveSequence::Impl;

// Memory objects with fixed descriptors and an array of arguments per primitive: executing one is
// a call of the C interface without any look-up or allocation of ours.
class Call : public PrimitiveCall {
 public:
  explicit Call(std::shared_ptr<const PrimitiveSequence> owner, const Sequence& s)
      : owner_(std::move(owner)), s_(s), stream_(cpu_engine()) {
    for (const Step& step : s_.steps) {
      Bound b;
      if (const auto* e = std::get_if<Execute>(&step)) {
        b.primitive = e->primitive.get();
        for (const auto& a : e->args) {
          b.memories.push_back(memory(a.desc, cpu_engine(), DNNL_MEMORY_NONE));
          b.refs.push_back(a.where);
          b.args.push_back({a.id, b.memories.back().get()});
        }
      } else {
        b.copy = &std::get<Copy>(step);
      }
      bound_.push_back(std::move(b));
    }
  }

  void place(std::span<const void* const> operands, std::span<void* const> results,
             void* scratch) override {
    const auto at = [&](Ref r) -> void* {
      switch (r.from) {
        case Ref::From::kOperand: return const_cast<void*>(operands[r.index]);
        case Ref::From::kResult: return results[r.index];
        case Ref::From::kScratch: return static_cast<char*>(scratch) + r.index;
        case Ref::From::kKept: return const_cast<std::byte*>(s_.kept[r.index].data.get());
      }
      return nullptr;
    };
    for (Bound& b : bound_) {
      for (size_t i = 0; i < b.memories.size(); ++i) b.memories[i].set_data_handle(at(b.refs[i]));
      if (b.copy) {
        b.from = at(b.copy->from);
        b.to = at(b.copy->to);
      }
    }
  }

  void run() override {
    if (!s_.one_thread) return run_steps();
    const ThreadScope one(1);
    run_steps();
  }

 private:
  void run_steps() {
    for (Bound& b : bound_) {
      if (b.copy) {
        if (b.from != b.to) std::memcpy(b.to, b.from, b.copy->bytes);
        continue;
      }
      const auto status =
          dnnl_primitive_execute(b.primitive, stream_.get(), int(b.args.size()), b.args.data());
      ESP_CHECK(status == dnnl_success, "oneDNN failed to run a primitive");
    }
  }

  struct Bound {
    dnnl_primitive_t primitive = nullptr;
    std::vector<memory> memories;
    std::vector<Ref> refs;
    std::vector<dnnl_exec_arg_t> args;
    const Copy* copy = nullptr;
    const void* from = nullptr;
    void* to = nullptr;
  };
  std::shared_ptr<const PrimitiveSequence> owner_;
  const Sequence& s_;
  dnnl::stream stream_;
  std::vector<Bound> bound_;
};

// A PrimitiveSequence made by a builder knows its owner, so that calls can keep it alive.
class OwnedSequence : public PrimitiveSequence, public std::enable_shared_from_this<OwnedSequence> {
 public:
  using PrimitiveSequence::PrimitiveSequence;
};

}  // namespace

PrimitiveSequence::PrimitiveSequence(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PrimitiveSequence::~PrimitiveSequence() = default;
std::unique_ptr<PrimitiveCall> PrimitiveSequence::call() const {
  const auto* owned = static_cast<const OwnedSequence*>(this);
  return std::make_unique<Call>(owned->shared_from_this(), *impl_);
}
size_t PrimitiveSequence::scratch_bytes() const { return impl_->scratch; }
size_t PrimitiveSequence::kept_bytes() const { return impl_->kept_bytes; }
const std::string& PrimitiveSequence::implementation() const { return impl_->implementation; }

SequenceBuilder::SequenceBuilder()
    : sequence_(std::make_shared<OwnedSequence>(std::make_unique<PrimitiveSequence::Impl>())) {}
SequenceBuilder::~SequenceBuilder() = default;

Ref SequenceBuilder::scratch(size_t bytes) {
  Sequence& s = sequence_->impl();
  const Ref r{Ref::From::kScratch, s.scratch};
  s.scratch += (bytes + kAlignment - 1) / kAlignment * kAlignment;
  return r;
}

Ref SequenceBuilder::keep(PackedWeight weight) {
  Sequence& s = sequence_->impl();
  s.kept_bytes += weight.bytes;
  s.kept.push_back(std::move(weight));
  return {Ref::From::kKept, s.kept.size() - 1};
}

void SequenceBuilder::add(const dnnl::primitive& primitive, const memory::desc& scratchpad,
                          std::vector<Arg> args) {
  if (scratchpad.get_size() > 0)
    args.push_back({DNNL_ARG_SCRATCHPAD, scratchpad, scratch(scratchpad.get_size())});
  sequence_->impl().steps.push_back(Execute{primitive, std::move(args)});
}

void SequenceBuilder::copy(Ref from, Ref to, size_t bytes) {
  sequence_->impl().steps.push_back(Copy{from, to, bytes});
}

void SequenceBuilder::reorder(const memory::desc& from, Ref source, const memory::desc& to,
                              Ref target) {
  const dnnl::reorder::primitive_desc pd(cpu_engine(), from, cpu_engine(), to, base_attributes());
  add(dnnl::reorder(pd), pd.scratchpad_desc(),
      {{DNNL_ARG_FROM, from, source}, {DNNL_ARG_TO, to, target}});
}

Ref SequenceBuilder::wanted(const memory::desc& from, Ref source, const memory::desc& to) {
  if (from == to) return source;
  const Ref target = scratch(to.get_size());
  reorder(from, source, to, target);
  return target;
}

Ref SequenceBuilder::pack(const memory::desc& from, const void* data, const memory::desc& to) {
  const std::span weight(static_cast<const std::byte*>(data), from.get_size());
  if (from == to) return keep(kept_weight(weight));
  return keep(packed_weight(weight, form_of(from, to), to.get_size(), [&](std::byte* at) {
    memory source(from, cpu_engine(), const_cast<void*>(data));
    memory target(to, cpu_engine(), at);
    dnnl::stream stream(cpu_engine());
    dnnl::reorder(source, target).execute(stream, source, target);
    stream.wait();
  }));
}

void SequenceBuilder::on_one_thread() { sequence_->impl().one_thread = true; }

std::shared_ptr<const PrimitiveSequence> SequenceBuilder::finish(std::string implementation) {
  sequence_->impl().implementation = std::move(implementation);
  return sequence_;
}

}  // namespace espalier::kernels
