#include "formats/idx.h"
#include "fuzzers/parser.h"

ESP_FUZZ_PARSER(espalier::read_idx(bytes, "fuzz.idx"))
