#include "fuzzers/parser.h"
#include "ir/text.h"
#include "ops/catalogue.h"

static const bool ready = (espalier::ops::register_rooms(), true);

ESP_FUZZ_PARSER(espalier::parse_graph(bytes))
