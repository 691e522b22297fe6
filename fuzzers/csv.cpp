#include "formats/csv.h"
#include "fuzzers/parser.h"

ESP_FUZZ_PARSER(espalier::read_csv(bytes, "fuzz.csv"))
