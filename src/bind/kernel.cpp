#include "bind/kernel.h"

#include "base/error.h"

namespace espalier {

Shape physical_shape(const Shape& shape, Layout layout) {
  if (layout == Layout::kPlain || shape.size() < 3) return shape;
  Shape p = {shape[0]};
  p.insert(p.end(), shape.begin() + 2, shape.end());
  p.push_back(shape[1]);
  return p;
}

size_t physical_axis(int64_t axis, size_t rank, Layout layout) {
  if (axis < 0) axis += int64_t(rank);
  if (layout == Layout::kPlain || rank < 3 || axis == 0) return size_t(axis);
  return axis == 1 ? rank - 1 : size_t(axis) - 1;
}

bool layouts_agree(const Shape& shape, Layout a, Layout b) {
  if (a == b || shape.size() < 3) return true;
  return shape[1] == 1 || product(shape, 2, shape.size()) <= 1 || numel(shape) == 0;
}

std::vector<int64_t> layout_strides(const Shape& shape, Layout layout) {
  const auto physical = strides_of(physical_shape(shape, layout));
  if (layout == Layout::kPlain || shape.size() < 3) return physical;
  std::vector<int64_t> s = {physical[0], physical.back()};
  s.insert(s.end(), physical.begin() + 1, physical.end() - 1);
  return s;
}

namespace {

using Function = std::function<void(const KernelArgs&)>;

class FunctionLaunch : public Launch {
 public:
  explicit FunctionLaunch(std::shared_ptr<const Function> run) : run_(std::move(run)) {}
  void place(std::span<const void* const> operands, std::span<void* const> results,
             void* scratch) override {
    operands_.assign(operands.begin(), operands.end());
    results_.assign(results.begin(), results.end());
    scratch_ = scratch;
  }
  void run() override { (*run_)({operands_.data(), results_.data(), scratch_}); }

 private:
  std::shared_ptr<const Function> run_;
  std::vector<const void*> operands_;
  std::vector<void*> results_;
  void* scratch_ = nullptr;
};

class FunctionKernel : public Kernel {
 public:
  explicit FunctionKernel(Function run) : run_(std::make_shared<const Function>(std::move(run))) {}
  std::unique_ptr<Launch> launch() const override { return std::make_unique<FunctionLaunch>(run_); }

 private:
  std::shared_ptr<const Function> run_;
};

class ViewKernel : public Kernel {
 public:
  std::unique_ptr<Launch> launch() const override {
    ESP_CHECK(false, "a view is not launched");
    return nullptr;
  }
};

}  // namespace

KernelPtr function_kernel(std::string name, std::function<void(const KernelArgs&)> run) {
  auto kernel = std::make_shared<FunctionKernel>(std::move(run));
  kernel->name = std::move(name);
  return kernel;
}

KernelPtr view_kernel(std::string name, int view_of) {
  auto kernel = std::make_shared<ViewKernel>();
  kernel->name = std::move(name);
  kernel->view_of = view_of;
  return kernel;
}

}  // namespace espalier
