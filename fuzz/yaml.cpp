#include "recipe/yaml.h"
#include "fuzz/parser.h"

ESP_FUZZ_PARSER(espalier::Yaml::parse(bytes, "fuzz.yaml"))
