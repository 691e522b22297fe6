#include "train/epoch_line.h"

#include <nlohmann/json.hpp>

#include "base/formatted.h"
#include "base/progress.h"

namespace espalier {

using nlohmann::json;

std::string log_line(const StepReport& r, int64_t done) {
  return json{{"kind", "step"}, {"step", done},          {"epoch", r.epoch + 1},
              {"loss", r.loss}, {"accuracy", r.correct}, {"learning_rate", r.learning_rate}}
      .dump();
}

std::string log_line(const EpochReport& e) {
  return json{{"kind", "epoch"},
              {"epoch", e.epoch},
              {"step", e.steps},
              {"learning_rate", e.learning_rate},
              {"train_loss", e.train_loss},
              {"train_accuracy", e.train_accuracy},
              {"val_loss", e.val_loss},
              {"val_accuracy", e.val_accuracy},
              {"seconds", e.seconds},
              {"val_seconds", e.val_seconds}}
      .dump();
}

std::string epoch_line(const EpochReport& e, const TrainOptions& options, const Dataset& data,
                       const Dataset* validation) {
  const bool classes = options.loss == Loss::kCrossEntropy;
  const bool text = data.bytes_per_target() > 0;
  std::string line = formatted("epoch %lld/%lld  loss %.4f", (long long)e.epoch,
                               (long long)options.epochs, e.train_loss);
  if (classes && !text) line += formatted("  train %.2f %%", 100 * e.train_accuracy);
  if (validation && classes && !text) line += formatted("  val %.2f %%", 100 * e.val_accuracy);
  if (validation && (!classes || text)) line += formatted("  val %.4f", e.val_loss);
  if (validation && text)
    line += formatted("  perplexity %.3f  bits/byte %.3f", perplexity(e.val_loss),
                      bits_per_byte(e.val_loss, validation->bytes_per_target()));
  return line + "  " + format_duration(e.seconds + e.val_seconds);
}

}  // namespace espalier
