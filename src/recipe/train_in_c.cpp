#include "recipe/train_in_c.h"

#include "base/error.h"
#include "train/integer_training.h"

namespace espalier {

CTraining add_training(CFile& file, const Graph& network, const TrainRecipe& recipe,
                       const Shape& shape) {
  if (network.inputs().size() != 1 || shape.empty())
    throw unsupported(network.name, "has " + std::to_string(network.inputs().size()) +
                                        " inputs, training takes one, batch first");
  if (recipe.training.precision != DType::f32)
    throw unsupported("training.precision", "is bf16, for which C has no type",
                      "--set training.precision=f32");
  if (recipe.training.memory > 0)
    throw unsupported("training.memory", "is not offered for training in C",
                      "leave it out; a smaller batch needs less");
  if (recipe.training.reversible)
    throw unsupported("training.reversible", "is not offered for training in C", "leave it out");
  if (recipe.training.saved_activations)
    throw unsupported("training.saved_activations", "is not offered for training in C",
                      "leave it out; a smaller batch needs less");
  if (!recipe.training.optimizer.states.is_f32())
    throw unsupported("optimizer.states", "are f32 in C", "--set training.optimizer.states=f32");
  if (recipe.parametrization)
    throw unsupported("training.parametrization", "is not offered for training in C",
                      "leave it out; a network trained with it can be exported");
  if (recipe.v_cycle)
    throw unsupported("training.v_cycle", "is not offered for training in C",
                      "leave it out; a network trained with it can be exported");
  if (recipe.incubation)
    throw unsupported("training.incubation", "is not offered for training in C",
                      "leave it out; a network trained with it can be exported");
  const TensorType& input = network.value(network.inputs()[0]).tensor();
  const Shape sample(shape.begin() + 1, shape.end());
  TrainOptions training = recipe.training;
  if (input.dims[0].known()) training.batch = input.dims[0].value();
  const PreparedNetwork prepared = prepared_network(
      deployed(network, training.norms), recipe.trained, {sample, nullptr, training.seed});
  training.trained = prepared.trained;
  const StepOptions options = step_options(training, sample, input.dtype);
  if (stores_integers(prepared.graph)) {
    IntegerTraining t = build_integer_step(prepared.graph, options);
    return add_training(file, t.network, std::move(t.step), shape[0]);
  }
  return add_training(file, prepared.graph, build_training_step(prepared.graph, options), shape[0]);
}

}  // namespace espalier
