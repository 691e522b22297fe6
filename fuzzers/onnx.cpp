#include "fuzzers/parser.h"
#include "onnx/import.h"
#include "ops/catalogue.h"

static const bool ready = (espalier::ops::register_rooms(), true);

ESP_FUZZ_PARSER(espalier::import_onnx_bytes(bytes, "fuzz.onnx"))
