# How everything is compiled: C++20, position-independent (one precompiled header serves libraries and tests), ccache, warnings.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
# Everywhere alike, or the precompiled header would not fit the tests (GoogleTest asks for it).
add_compile_options(-pthread)
add_link_options(-pthread)

find_program(ISOTROPE_CCACHE ccache)
if(ISOTROPE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # The sloppiness is what ccache asks for with precompiled headers; the base folder lets another clone find what this one has compiled.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
                                  CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} ${ISOTROPE_CCACHE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-fpch-preprocess)
  endif()
endif()

add_library(isotrope_warnings INTERFACE)
target_compile_options(isotrope_warnings INTERFACE -Wall -Wextra -Wno-missing-field-initializers -fno-math-errno)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 reports string growth inside libstdc++ as overlapping copies (bug 105651).
  # psabi: the kernels' vectors are passed between inlined functions only.
  target_compile_options(isotrope_warnings INTERFACE -Wno-restrict -Wno-psabi)
endif()

# With a precompiled header compilers take libstdc++'s functions for our own, and report in them what they do not understand.
function(isotrope_precompile target header)
  target_precompile_headers(${target} PRIVATE ${PROJECT_SOURCE_DIR}/cmake/${header})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${target} PRIVATE -Wno-stringop-overflow -Wno-array-bounds)
  else()
    target_compile_options(${target} PRIVATE -Wno-deprecated-declarations)
  endif()
endfunction()

set(ISOTROPE_SANITIZE "" CACHE STRING "Sanitizers to build with: address,undefined or thread")
if(ISOTROPE_SANITIZE)
  add_compile_options(-fsanitize=${ISOTROPE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${ISOTROPE_SANITIZE})
endif()
