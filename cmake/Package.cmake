# Installation and the package behind find_package(espalier): the public headers, the headers of
# src/ they include (if any, and no others), the libraries, the program and the shipped recipes.
# A program links espalier::espalier.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# The headers of src/ reached from `header` through #include "folder/file.h", appended to `found`.
function(espalier_included_headers header found)
  set(headers ${${found}})
  file(STRINGS ${header} lines REGEX "^#include \"[a-z_]+/")
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "^#include \"([^\"]+)\".*" "\\1" included "${line}")
    if(EXISTS ${CMAKE_SOURCE_DIR}/src/${included} AND NOT included IN_LIST headers)
      list(APPEND headers ${included})
      espalier_included_headers(${CMAKE_SOURCE_DIR}/src/${included} headers)
    endif()
  endforeach()
  set(${found} ${headers} PARENT_SCOPE)
endfunction()

add_library(espalier::espalier ALIAS esp_api)
set_target_properties(esp_api PROPERTIES EXPORT_NAME espalier)

file(GLOB public CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/include/espalier/*.h)
install(FILES ${public} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/espalier)
set(internal "")
foreach(header IN LISTS public)
  espalier_included_headers(${header} internal)
endforeach()
foreach(header IN LISTS internal)
  get_filename_component(folder ${header} DIRECTORY)
  install(FILES ${CMAKE_SOURCE_DIR}/src/${header}
          DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/espalier/internal/${folder})
endforeach()
if(internal)
  target_include_directories(espalier_flags INTERFACE
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/espalier/internal>)
endif()

get_property(libraries GLOBAL PROPERTY ESPALIER_LIBRARIES)
install(TARGETS ${libraries} EXPORT espalier_targets)
if(TARGET espalier)
  install(TARGETS espalier)
endif()
if(EXISTS ${CMAKE_SOURCE_DIR}/recipes)
  install(DIRECTORY ${CMAKE_SOURCE_DIR}/recipes/ DESTINATION ${CMAKE_INSTALL_DATADIR}/espalier/recipes)
endif()

set(config ${CMAKE_INSTALL_LIBDIR}/cmake/espalier)
install(EXPORT espalier_targets NAMESPACE espalier:: DESTINATION ${config})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/espalier-config.cmake.in
  ${CMAKE_BINARY_DIR}/espalier-config.cmake INSTALL_DESTINATION ${config})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/espalier-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/espalier-config.cmake
  ${CMAKE_BINARY_DIR}/espalier-config-version.cmake ${CMAKE_CURRENT_LIST_DIR}/Dependencies.cmake
  DESTINATION ${config})
