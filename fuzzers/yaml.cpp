#include "recipe/yaml.h"
#include "fuzzers/parser.h"

ESP_FUZZ_PARSER(espalier::Yaml::parse(bytes, "fuzz.yaml"))
