#include "formats/npy.h"
#include "fuzzers/parser.h"

ESP_FUZZ_PARSER(espalier::read_npy(bytes, "fuzz.npy"))
