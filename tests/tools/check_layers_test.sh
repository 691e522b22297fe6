#!/usr/bin/env bash
source "$(dirname "$0")/house.sh"

passes check_layers
put src/base/up.cpp '// a comment' '  #  include "ops/room.h"'
fails_with check_layers 'src/base/up.cpp:2: base includes "ops/room.h"'
rm "$house/src/base/up.cpp"

put src/ir/graph.cpp '#include "kernels/dense.h"'
fails_with check_layers 'src/ir: no espalier_folder(ir)'
echo 'espalier_folder(ir USES base)' >>"$house/CMakeLists.txt"
fails_with check_layers 'src/ir/graph.cpp:1: ir includes "kernels/dense.h"'
put src/ir/graph.cpp '#include "error.h"'
fails_with check_layers 'does not say its folder'
put src/ir/graph.cpp '#include "../base/error.h"'
fails_with check_layers 'does not say its folder'
put src/ir/graph.cpp '#include <base/error.h>'
fails_with check_layers 'with quotes'
put src/ir/graph.cpp '#include "gone/error.h"'
fails_with check_layers 'is in no folder of src/'
put src/ir/graph.cpp '#include "espalier/version.h"'
fails_with check_layers 'public headers are for the top floor'
put src/ir/graph.cpp '#include "base/error.h"'
passes check_layers

sed -i 's/espalier_folder(ir USES base)/espalier_folder(ir USES base kernels)/' "$house/CMakeLists.txt"
fails_with check_layers 'ir uses kernels, which is not on a lower floor'
sed -i 's/espalier_folder(ir USES base kernels)/espalier_folder(attic USES base)/' "$house/CMakeLists.txt"
fails_with check_layers 'attic stands on no floor'
