#include "reproduce/transfer.h"

#include "base/log.h"
#include "data/source.h"
#include "data/turned.h"

namespace espalier {
namespace {

void read_stage(Fields& fields, DataSpec& data, TrainOptions& training) {
  data = read_data(fields.require("data"));
  training = read_training(fields.require("training"));
}

}  // namespace

Transfer read_transfer(Fields& fields) {
  Transfer t;
  t.place = fields.map();
  t.name = fields.require_string("name");
  t.model = read_model(fields.require("model"));
  Fields first(fields.require("first"), "first"), then(fields.require("then"), "then");
  read_stage(first, t.first_data, t.first_training);
  read_stage(then, t.data, t.training);
  t.turned_by = then.number("turned_by", 0, -360, 360);
  first.done();
  then.done();
  return t;
}

TransferStart started(const Transfer& t, uint64_t seed) {
  const DataSource first(t.first_data), then(t.data);
  const auto train = first.split(Split::train), val = first.split(Split::val);
  TransferStart s;
  s.task = {
      t.name,    {}, then.split(Split::train), then.split(Split::val), then.split(Split::test),
      t.training};
  if (t.turned_by != 0)
    for (auto* data : {&s.task.train, &s.task.val, &s.task.test})
      *data = turned(*data, t.turned_by);
  s.task.training.seed = seed;
  TrainOptions o = t.first_training;
  o.seed = seed;
  o.name = t.name + ", first";
  log_info(t.name + ": learning " + train->description());
  Trainer trainer(t.model.build(seed, train.get()), train, val, o);
  trainer.train();
  s.task.network = trainer.network();
  s.first = trainer.evaluate(*first.split(Split::test));
  return s;
}

}  // namespace espalier
