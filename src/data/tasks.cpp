#include "data/tasks.h"

#include "base/error.h"
#include "base/rng.h"

namespace espalier {
namespace {

class Task : public Dataset {
 public:
  /// Samples `rows`, whose labels lose `offset`; elements in the order `from`, or as they are.
  Task(std::shared_ptr<const Dataset> of, std::vector<int64_t> rows, int64_t offset,
       int64_t classes, std::vector<int64_t> from, const std::string& what)
      : of_(std::move(of)),
        rows_(std::move(rows)),
        classes_(classes),
        from_(std::move(from)),
        targets_(DType::i64, {int64_t(rows_.size())}),
        description_(of_->description() + ", " + what) {
    for (size_t i = 0; i < rows_.size(); ++i)
      targets_.mutable_data<int64_t>()[i] = of_->targets().int_at(rows_[i]) - offset;
    for (int64_t c = 0; c < classes && !of_->class_names().empty(); ++c)
      names_.push_back(of_->class_names()[size_t(offset + c)]);
  }

  int64_t size() const override { return int64_t(rows_.size()); }
  const Shape& sample_shape() const override { return of_->sample_shape(); }
  int64_t classes() const override { return classes_; }
  const std::vector<std::string>& class_names() const override { return names_; }
  const Tensor& targets() const override { return targets_; }
  const Normalization& normalization() const override { return of_->normalization(); }
  PictureLayout layout() const override { return of_->layout(); }
  const std::string& description() const override { return description_; }
  void read(int64_t index, float* sample) const override {
    if (from_.empty()) return of_->read(rows_[size_t(index)], sample);
    std::vector<float> plain(from_.size());
    of_->read(rows_[size_t(index)], plain.data());
    for (size_t i = 0; i < from_.size(); ++i) sample[i] = plain[size_t(from_[i])];
  }

 private:
  std::shared_ptr<const Dataset> of_;
  std::vector<int64_t> rows_;
  int64_t classes_;
  std::vector<int64_t> from_;
  std::vector<std::string> names_;
  Tensor targets_;
  std::string description_;
};

void need_labels(const Dataset& data) {
  if (data.classes() < 2 || data.target_shape() != Shape{} || data.input_type() != DType::f32)
    throw bad_input(data.description(), "tasks need samples of numbers with one class label each");
}

}  // namespace

std::vector<std::shared_ptr<const Dataset>> split_by_class(std::shared_ptr<const Dataset> data,
                                                           int64_t classes) {
  need_labels(*data);
  if (classes < 1 || data->classes() % classes != 0)
    throw bad_input(data->description(), std::to_string(data->classes()) +
                                             " classes cannot be divided into tasks of " +
                                             std::to_string(classes));
  std::vector<std::shared_ptr<const Dataset>> tasks;
  for (int64_t first = 0; first < data->classes(); first += classes) {
    std::vector<int64_t> rows;
    for (int64_t i = 0; i < data->size(); ++i) {
      const int64_t label = data->targets().int_at(i);
      if (label >= first && label < first + classes) rows.push_back(i);
    }
    if (rows.empty())
      throw bad_input(data->description(),
                      "holds no sample of the classes from " + std::to_string(first) + " on");
    tasks.push_back(std::make_shared<Task>(data, std::move(rows), first, classes,
                                           std::vector<int64_t>(),
                                           "classes from " + std::to_string(first) + " on"));
  }
  return tasks;
}

std::shared_ptr<const Dataset> permuted(std::shared_ptr<const Dataset> data, uint64_t seed) {
  need_labels(*data);
  std::vector<int64_t> all(static_cast<size_t>(data->size())), from;
  for (size_t i = 0; i < all.size(); ++i) all[i] = int64_t(i);
  if (seed != 0)
    from = Rng(seed, stream_of("permuted elements")).permutation(numel(data->sample_shape()));
  return std::make_shared<Task>(data, std::move(all), 0, data->classes(), std::move(from),
                                "permuted by " + std::to_string(seed));
}

}  // namespace espalier
