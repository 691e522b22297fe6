// Networks to serve, as the command line names them: [NAME=]FILE[?key=value&…].
#pragma once

#include <map>
#include <string>

#include "serve/hosted_model.h"

namespace espalier::cli {

struct ServedModel {
  std::string file;
  std::string weights;                  ///< a file whose tensors take the place of the parameters
  std::map<std::string, Shape> shapes;  ///< of inputs, as `shape.NAME=1,3,224,224` fixes them
  serve::HostOptions options;
};

/// `defaults` for what the text does not say. UserError (usage) for names and keys that are none,
/// and for keys given twice.
ServedModel parse_served_model(const std::string& text, const serve::HostOptions& defaults);

/// The network in its file, weights and shapes as asked. UserError for weights that do not match
/// and (usage) for shapes of inputs that are none, or that do not fit.
Graph load_served_model(const ServedModel& model);

}  // namespace espalier::cli
