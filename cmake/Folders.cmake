# One target per folder of src/: esp_<folder>, made from whatever *.cpp stands in it.

# Warnings and rounding rules are for our own files; a program that links the installed libraries
# gets only the public headers, and the sanitizers if the libraries were built with them.
add_library(espalier_flags INTERFACE)
target_include_directories(espalier_flags INTERFACE
  $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/src> $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include>
  $<INSTALL_INTERFACE:include>)
target_compile_features(espalier_flags INTERFACE cxx_std_20)
foreach(flag -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers
             $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict> -fno-math-errno
             -ffp-contract=off)
  target_compile_options(espalier_flags INTERFACE $<BUILD_INTERFACE:${flag}>)
endforeach()
if(ESPALIER_SANITIZE)
  target_compile_options(espalier_flags INTERFACE -fsanitize=address,undefined
                         -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g1)
  target_link_options(espalier_flags INTERFACE -fsanitize=address,undefined)
endif()
if(ESPALIER_FUZZ)
  target_compile_options(espalier_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
set_property(GLOBAL PROPERTY ESPALIER_LIBRARIES espalier_flags)

# espalier_precompile(TARGET SOURCES... [HEADERS headers...]): with ESPALIER_PCH, headers that most
# files of a target share are parsed once. ccache does not know such files again in another folder,
# so this is for builds that start from nothing; files still name all they include.
function(espalier_precompile target)
  cmake_parse_arguments(arg "" "" "HEADERS" ${ARGN})
  list(LENGTH arg_UNPARSED_ARGUMENTS count)
  if(ESPALIER_PCH AND count GREATER 4)
    target_precompile_headers(${target} PRIVATE <algorithm> <cmath> <filesystem> <functional> <map>
                              <memory> <optional> <set> <span> <string> <variant> <vector>
                              ${arg_HEADERS})
  endif()
endfunction()

# espalier_folder(NAME [USES folders...] [LINK libraries...])
function(espalier_folder name)
  cmake_parse_arguments(arg "" "" "USES;LINK" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/main\\.cpp$")
  set(below "")
  foreach(used IN LISTS arg_USES)
    list(APPEND below esp_${used})
  endforeach()
  if(sources)
    add_library(esp_${name} STATIC ${sources})
    target_link_libraries(esp_${name} PUBLIC espalier_flags ${below} ${arg_LINK})
    set(headers "")
    if(name STREQUAL "ops")
      set(headers ${CMAKE_SOURCE_DIR}/src/ops/common.h ${CMAKE_SOURCE_DIR}/src/ops/emit.h)
    elseif("ir" IN_LIST arg_USES OR "ops" IN_LIST arg_USES OR "runtime" IN_LIST arg_USES)
      set(headers ${CMAKE_SOURCE_DIR}/src/ir/graph.h)
    endif()
    espalier_precompile(esp_${name} ${sources} HEADERS ${headers})
  else()
    add_library(esp_${name} INTERFACE)
    target_link_libraries(esp_${name} INTERFACE espalier_flags ${below} ${arg_LINK})
  endif()
  set_property(GLOBAL APPEND PROPERTY ESPALIER_LIBRARIES esp_${name})
endfunction()

function(espalier_program)
  if(EXISTS ${CMAKE_SOURCE_DIR}/src/cli/main.cpp)
    add_executable(espalier ${CMAKE_SOURCE_DIR}/src/cli/main.cpp)
    target_link_libraries(espalier PRIVATE esp_cli)
  endif()
endfunction()
