#include "serve/network.h"

#include <algorithm>

#include "base/error.h"
#include "ir/interpret.h"
#include "passes/fuse_region.h"
#include "passes/open_batch.h"
#include "serve/rows.h"

namespace espalier::serve {
namespace {

constexpr size_t kMostTied = 1024;

Graph without_regions(Graph graph) {
  if (passes::expand_regions(graph) == 0) return graph;
  return graph.compacted();
}

std::vector<Shape> shapes_of(std::span<const Tensor> tensors) {
  std::vector<Shape> shapes;
  for (const Tensor& t : tensors) shapes.push_back(t.shape());
  return shapes;
}

/// All inputs and outputs begin with an open extent, of one name where they have names.
bool begins_open(const Signature& signature) {
  const Dim* first = nullptr;
  for (const auto* ports : {&signature.inputs, &signature.outputs})
    for (const Port& port : *ports) {
      if (port.type.rank() == 0 || port.type.dims[0].known()) return false;
      const Dim& dim = port.type.dims[0];
      if (ports == &signature.outputs) continue;
      if (first && first->name() != dim.name()) return false;
      first = &dim;
    }
  return first != nullptr;
}

/// Every extent but perhaps the first of each input is a number.
bool rows_are_fixed(const Signature& signature) {
  return std::ranges::all_of(signature.inputs, [](const Port& port) {
    const Dims& dims = port.type.dims;
    return std::all_of(dims.begin() + (dims.empty() ? 0 : 1), dims.end(),
                       [](const Dim& d) { return d.known(); });
  });
}

Tensors zeros(const Signature& signature, int64_t rows) {
  Tensors inputs;
  for (const Port& port : signature.inputs) {
    Shape shape;
    for (const Dim& d : port.type.dims) shape.push_back(d.known() ? d.value() : rows);
    inputs.emplace_back(port.type.dtype, shape);
  }
  return inputs;
}

}  // namespace

Form::Form(Graph graph, bool stacks, const NetworkOptions& options)
    : graph_(std::move(graph)),
      stacks_(stacks),
      options_(options),
      sessions_(size_t(options.instances)) {}

/// Batches are compiled for powers of two and the largest size; smaller ones are filled up.
int64_t Form::size_for(int64_t rows) const {
  int64_t size = 1;
  while (size < rows) size *= 2;
  return std::min(size, options_.max_batch);
}

Session& Form::session(int instance, std::span<const Shape> shapes) {
  const std::vector<Shape> key(shapes.begin(), shapes.end());
  auto& own = sessions_[size_t(instance)];
  const auto found = own.find(key);
  if (found != own.end()) return found->second;
  std::shared_ptr<const Program> program;
  {
    const std::lock_guard lock(compiling_);
    auto& slot = programs_[key];
    CompileOptions options;
    options.choices = options_.choices;
    options.threads = options_.threads;
    if (!slot) slot = compile(specialised(graph_, key), options);
    program = slot;
  }
  return own.emplace(key, Session(program)).first->second;
}

Tensors Form::compute(int instance, const Tensors& inputs) {
  if (options_.reference) return interpret(graph_, inputs);
  return session(instance, shapes_of(inputs)).run(inputs);
}

std::vector<Tensors> Form::run(int instance, std::span<const Tensors* const> requests,
                               RunTimes* times) {
  ESP_CHECK(stacks_ || requests.size() == 1, "requests that do not stack run alone");
  const Time begin = Clock::now();
  if (!stacks_) {
    std::vector<Tensors> alone = {compute(instance, *requests[0])};
    if (times) times->compute = Clock::now() - begin;
    return alone;
  }
  std::vector<int64_t> rows;
  int64_t total = 0;
  for (const Tensors* request : requests) total += rows.emplace_back(rows_of(request->at(0)));
  const int64_t size = options_.reference ? total : size_for(total);
  Tensors inputs;
  for (size_t i = 0; i < requests[0]->size(); ++i) {
    std::vector<const Tensor*> parts;
    for (const Tensors* request : requests) parts.push_back(&request->at(i));
    inputs.push_back(stacked(parts, size));
  }
  const Time stacked_at = Clock::now();
  const Tensors outputs = compute(instance, inputs);
  const Time computed = Clock::now();
  std::vector<Tensors> answers;
  int64_t row = 0;
  for (int64_t n : rows) {
    Tensors& answer = answers.emplace_back();
    for (const Tensor& output : outputs) answer.push_back(rows_from(output, row, n));
    row += n;
  }
  if (times) *times = {stacked_at - begin + (Clock::now() - computed), computed - stacked_at};
  return answers;
}

void Form::warm_up() {
  if (options_.reference) return;
  std::vector<int64_t> sizes = {1};
  while (stacks_ && sizes.back() < options_.max_batch) sizes.push_back(size_for(sizes.back() + 1));
  for (int instance = 0; instance < options_.instances; ++instance)
    for (int64_t size : sizes) {
      const Tensors inputs = zeros(signature_of(graph_), size);
      Session& ready = session(instance, shapes_of(inputs));
      try {
        ready.run(inputs);
      } catch (const UserError&) {
        // Zeros are no input for this network; real ones will be.
      }
    }
}

Network::Network(Graph graph, const NetworkOptions& options)
    : options_(options), graph_(without_regions(std::move(graph))) {
  signature_ = signature_of(graph_);
  if (options.max_batch > 1) {
    try {
      // A network of one batch size is opened for any; an open one stays.
      graph_ = with_open_batch(graph_);
      signature_ = signature_of(graph_);
      may_stack_ = begins_open(signature_);
      if (!may_stack_) lone_because_ = "its inputs and outputs have no first extent in common";
    } catch (const UserError& e) {
      lone_because_ = e.what();
    }
  } else {
    lone_because_ = "the largest batch is 1";
  }
  if (!rows_are_fixed(signature_)) return;
  const auto first = form(zeros(signature_, 1));
  if (may_stack_ && !first->stacks()) lone_because_ = "its samples see each other within a batch";
  first->warm_up();
}

std::shared_ptr<Form> Network::known(const Key& key) {
  const auto found = forms_.find(key);
  if (found == forms_.end()) return nullptr;
  found->second.used = ++uses_;
  return found->second.form;
}

std::shared_ptr<Form> Network::keep(Key key, Graph graph, bool stacks) {
  while (forms_.size() >= options_.most_forms)
    forms_.erase(
        std::ranges::min_element(forms_, {}, [](const auto& entry) { return entry.second.used; }));
  auto form = std::make_shared<Form>(std::move(graph), stacks, options_);
  forms_[std::move(key)] = {form, ++uses_};
  return form;
}

std::shared_ptr<Form> Network::form(std::span<const Tensor> inputs) {
  Key shapes = shapes_of(inputs);
  const auto same_rows = [&](const Shape& shape) { return shape[0] == shapes[0][0]; };
  const std::lock_guard lock(mutex_);
  if (may_stack_ && std::ranges::all_of(shapes, same_rows)) {
    const int64_t rows = shapes[0][0];
    Key key = shapes;
    for (Shape& shape : key) shape[0] = 0;
    auto stacking = known(key);
    if (!stacking && !tied_.contains(key)) {
      Key two = shapes;
      for (Shape& shape : two) shape[0] = 2;
      try {
        stacking = keep(key, with_open_batch(specialised(graph_, two)), true);
      } catch (const UserError&) {
        if (tied_.size() >= kMostTied) tied_.clear();
        tied_.insert(key);
      }
    }
    if (stacking) {
      if (rows > options_.max_batch)
        throw bad_input("input '" + signature_.inputs[0].name + "': shape[0]",
                        "is " + std::to_string(rows) + ", a request has at most " +
                            std::to_string(options_.max_batch) + " rows");
      return stacking;
    }
  }
  if (auto lone = known(shapes)) return lone;
  Graph special = specialised(graph_, shapes);
  return keep(std::move(shapes), std::move(special), false);
}

}  // namespace espalier::serve
