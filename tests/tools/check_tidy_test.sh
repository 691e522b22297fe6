#!/usr/bin/env bash
source "$(dirname "$0")/house.sh"
command -v clang-tidy-14 >/dev/null || { echo "clang-tidy-14 is not installed"; exit 77; }

rm -r "$house/src"
cp "$ESPALIER_SOURCE_DIR/.clang-tidy" "$house"
put build/release/compile_commands.json '['
for name in old changed; do
  put src/base/$name.cpp 'int f(int x) { return x; }'
  echo "{\"directory\": \"$house\", \"file\": \"src/base/$name.cpp\",
    \"command\": \"c++ -c src/base/$name.cpp\"}" >>"$house/build/release/compile_commands.json"
  [ $name = changed ] || echo , >>"$house/build/release/compile_commands.json"
done
echo ']' >>"$house/build/release/compile_commands.json"
put .gitignore 'build/'
git -C "$house" init -q
git -C "$house" add -A
git -C "$house" -c user.name=test -c user.email=test@localhost commit -qm start
passes check_tidy

put src/base/changed.cpp 'int f(int x) {' '  if (x > 0) return 1;' '  else if (x > 0) return 1;' \
  '  else if (x > 0) return 2;' '  return 0;' '}' 'bool g(char* p) { return sizeof(p) > sizeof(sizeof(int)); }'
fails_with check_tidy 'src/base/changed.cpp:7'
