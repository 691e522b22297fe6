#include "formats/idx.h"
#include "fuzz/parser.h"

ESP_FUZZ_PARSER(espalier::read_idx(bytes, "fuzz.idx"))
