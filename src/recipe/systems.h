// The published systems that recipes reproduce: those with a `reproduces` map.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace espalier {

struct PublishedSystem {
  std::string id;  ///< its number, as recipes write it; may be empty
  std::string name, paper;
  std::string family;  ///< the folder its recipe stands in
  std::filesystem::path recipe;
};

/// By name, from the first folder of recipes there is: installed recipes hide nothing behind them.
/// A recipe that does not read is left out with a warning.
std::vector<PublishedSystem> published_systems();
/// The system of that name or number. UserError listing what there is.
PublishedSystem published_system(const std::string& name);

}  // namespace espalier
