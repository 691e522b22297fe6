#!/usr/bin/env bash
source "$(dirname "$0")/house.sh"

passes check_definitions
put src/runtime/program.h 'namespace espalier {' 'class Session;' 'struct Instruction {' '  struct Step {};' '};' \
  '}  // namespace espalier'
put src/train/step.h 'namespace espalier {' 'class Instruction;' 'struct Step {};' 'namespace train {' \
  'struct Instruction {};' '}  // namespace train' '}  // namespace espalier'
put src/train/step.cpp 'namespace espalier {' 'namespace {' 'struct Instruction {};' '}  // namespace' \
  'struct Step::Impl {};' 'template <>' 'struct Step<int> {};' '}  // namespace espalier'
passes check_definitions

put src/train/other.h 'namespace espalier {' 'struct Instruction {' '};' '}'
fails_with check_definitions 'src/train/other.h:2: espalier::Instruction is defined in src/runtime/program.h as well'
put src/train/other.h 'namespace espalier::train {' 'enum class Instruction' '    : int {' '};' '}'
fails_with check_definitions 'espalier::train::Instruction'
rm "$house/src/train/other.h"
passes check_definitions
