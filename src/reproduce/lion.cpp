// Lion and the search that found it (Chen et al. 2023): Lion against AdamW at several sizes of the
// batch, the time of both updates, and a search for update rules of our own that starts from
// gradient descent, looks at small trainings, and takes its finalists to the network of the race.
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/log.h"
#include "reproduce/optimizer_race.h"
#include "reproduce/program_search.h"
#include "runtime/session.h"
#include "runtime/timing.h"
#include "train/divergence.h"

namespace espalier {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

/// The update of one parameter of `n` elements, compiled by itself.
class Update {
 public:
  /// Appends the step of (parameter, gradient, moments …), and returns what comes after it.
  using Step = std::function<Values(Builder&, Values)>;
  Update(int64_t n, size_t moments, const Step& step)
      : session_(compile(graph(TensorType(DType::f32, Shape{n}), moments, step))) {
    inputs_.emplace_back(DType::f32, Shape{n});
    for (int64_t i = 0; i < n; ++i)
      inputs_[0].mutable_data<float>()[i] = i % 2 == 0 ? 1e-3f : -2e-3f;
  }
  void run() { session_.run_into(inputs_, {}); }

 private:
  static Graph graph(const TensorType& type, size_t moments, const Step& step) {
    Graph g;
    Builder b(g);
    const ValueId gradient = g.add_input("gradient", type);
    const ValueId parameter = g.add_input("parameter", type);
    Values operands = {parameter, gradient};
    for (size_t i = 0; i < moments; ++i)
      operands.push_back(g.add_input("moment" + std::to_string(i), type));
    const Values next = step(b, operands);
    g.add_state(parameter, next[0]);
    for (size_t i = 0; i < moments; ++i) g.add_state(operands[2 + i], next[1 + i]);
    return g;
  }

  Session session_;
  std::vector<Tensor> inputs_;
};

/// Of AdamW and Lion, in this order.
std::vector<Timing> update_times(int64_t elements) {
  const auto rate = [](Builder& b) { return b.constant(Tensor::scalar(1e-3f)); };
  Update adamw(elements, 2, [&](Builder& b, Values v) {
    v.push_back(rate(b));
    v.push_back(b.constant(Tensor::scalar(int64_t{100})));
    return b.op("espalier.AdamWStep", v);
  });
  Update lion(elements, 1, [&](Builder& b, Values v) {
    v.push_back(rate(b));
    return b.op("espalier.LionStep", v);
  });
  const std::function<void()> updates[] = {[&] { adamw.run(); }, [&] { lion.run(); }};
  return time_alternating(updates);
}

/// The small training that candidates are judged by.
struct Proxy {
  ModelPart model;
  TrainOptions training;
  std::shared_ptr<const Dataset> train, val;

  double loss(const UpdateProgram& program) const {
    ProgramHook hook(program, training.optimizer.weight_decay);
    const bool quiet = is_quiet();
    set_quiet(true);
    double result = kNever;
    try {
      Trainer trainer(model.build(training.seed, train.get()), train, val, training, {}, {&hook});
      const TrainResult r = trainer.train();
      if (!r.finished)
        throw usage_error("reproduce", "was interrupted",
                          "the same command goes on where it stopped");
      result = r.history.back().val_loss;
    } catch (const UserError& e) {
      set_quiet(quiet);
      if (!is_divergence(e)) throw;
    }
    set_quiet(quiet);
    return result;
  }
};

struct SearchPart {
  ProgramSearch search;
  Proxy proxy;
  Contender descent, finalist;  ///< rates of both, for programs; weight decay
};

SearchPart read_search(const Yaml& part, const OptimizerRace& race, uint64_t seed) {
  Fields fields(part, "search");
  SearchPart s;
  s.search.population = fields.integer("population", s.search.population, 2, 10'000);
  s.search.tournament = fields.integer("tournament", s.search.tournament, 1, 100);
  s.search.candidates = fields.integer("candidates", s.search.candidates, 1, 1'000'000);
  s.search.longest = fields.integer("longest", s.search.longest, 1, 100);
  s.search.finalists = fields.integer("finalists", s.search.finalists, 1, 100);
  s.search.seed = seed;
  s.proxy.model = read_model(fields.require("model"));
  s.proxy.training = read_training(fields.require("training"), race.training());
  s.proxy.training.seed = seed;
  s.proxy.training.log_every = 0;
  s.proxy.training.optimizer.kind = "signsgd";  // without state, and replaced
  s.proxy.training.optimizer.settings.clear();
  s.proxy.train = race.train_split();
  s.proxy.val = race.val_split();
  s.descent = read_contender(fields.require("descent"));
  s.descent.program = gradient_descent();
  s.finalist = s.descent;
  fields.done();
  return s;
}

/// The finalist that ends lowest on the network of the race, with all seeds.
RacedContender champion(OptimizerRace& race, const SearchPart& s, const FoundPrograms& found) {
  std::optional<RacedContender> best;
  for (size_t i = 0; i < found.best.size(); ++i) {
    Contender c = s.finalist;
    c.program = found.best[i].program;
    c.name = "finalist" + std::to_string(i + 1);
    log_info(c.name + ": " + c.program->text());
    RacedContender one = race.tuned(c);
    if (!best || one.runs[0].last() < best->runs[0].last()) best = std::move(one);
  }
  return race.run(best->contender);
}

}  // namespace

Findings measure_lion(Fields& recipe, const MeasureOptions& options) {
  const std::vector<Yaml>& sizes = recipe.require("batches").items();
  std::vector<std::unique_ptr<OptimizerRace>> races;
  for (const Yaml& size : sizes) {
    if (size.integer() < 1) size.fail("a batch must be at least 1");
    races.push_back(std::make_unique<OptimizerRace>(recipe, options, size.integer()));
    races.back()->require({"adamw", "lion"});
  }
  if (races.empty()) recipe.map().fail("names no batches");
  const int64_t elements = recipe.integer("elements", 1 << 20, 1, int64_t{1} << 30);
  const SearchPart search = read_search(recipe.require("search"), *races[0], options.seed);
  recipe.done();

  Findings f;
  bool as_good = true, half = true;
  for (size_t i = 0; i < races.size(); ++i) {
    const Race race = races[i]->run();
    const RacedContender &adamw = race.find("adamw"), &lion = race.find("lion");
    const std::string batch = "batch" + sizes[i].text() + "_";
    report(adamw, f.baseline, batch);
    report(lion, f.measured, batch);
    as_good = as_good && lion.mean_test_loss() <= adamw.mean_test_loss();
    half = half && 2 * lion.state_bytes() == adamw.state_bytes();
  }
  const std::vector<Timing> times = update_times(elements);
  f.baseline["adamw_update_ms"] = times[0].median_ms;
  f.measured["lion_update_ms"] = times[1].median_ms;

  OptimizerRace& race = *races[0];
  const FoundPrograms found =
      search_programs(gradient_descent(), search.search, [&](const UpdateProgram& p) {
        return race.once("proxy " + p.text(), [&] { return search.proxy.loss(p); });
      });
  RacedContender best = champion(race, search, found);
  best.contender.name = "found";
  const RacedContender descent = race.run(search.descent);
  f.measured["found"] = best.contender.program->text();
  f.measured["found_states"] = best.contender.program->states();
  f.measured["programs_evaluated"] = found.evaluated;
  f.measured["programs_known_by_behaviour"] = found.known;
  f.measured["programs_broken"] = found.broken;
  report(best, f.measured);
  report(descent, f.baseline);
  bool beats = true;
  for (size_t i = 0; i < best.runs.size(); ++i)
    beats = beats && !best.runs[i].diverged && best.runs[i].test_loss < descent.runs[i].test_loss;
  f.measured["found_beats_descent_in_every_seed"] = beats;
  f.measured["state_is_half_of_adamw"] = half;
  f.measured["as_good_as_adamw_at_every_batch"] = as_good;
  f.holds = as_good && half && beats && times[1].median_ms < times[0].median_ms;
  for (const auto& r : races) r->forget();
  return f;
}

}  // namespace espalier
