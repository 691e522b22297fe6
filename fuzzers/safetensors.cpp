#include "formats/safetensors.h"
#include "fuzzers/parser.h"

ESP_FUZZ_PARSER(espalier::decode_safetensors(bytes, "fuzz.safetensors"))
