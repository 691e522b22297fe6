#include "fuzzers/parser.h"
#include "ops/catalogue.h"
#include "tflite/import.h"

static const bool ready = (espalier::ops::register_rooms(), true);

ESP_FUZZ_PARSER(espalier::import_tflite_bytes(bytes, "fuzz.tflite"))
