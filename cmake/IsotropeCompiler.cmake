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
  # GCC 12 is mistaken: strings that grow inside libstdc++ are reported as overlapping copies and as writes and reads past their ends
  # (bug 105651), GoogleTest's macros as an else without braces.
  target_compile_options(isotrope_warnings INTERFACE -Wno-restrict -Wno-array-bounds -Wno-stringop-overflow -Wno-stringop-overread -Wno-dangling-else)
  # The kernels' vectors are passed between inlined functions only.
  target_compile_options(isotrope_warnings INTERFACE -Wno-psabi)
endif()

function(isotrope_precompile target header)
  target_precompile_headers(${target} PRIVATE ${PROJECT_SOURCE_DIR}/cmake/${header})
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # With a precompiled header clang takes libstdc++'s functions for our own, and reports what in them is deprecated.
    target_compile_options(${target} PRIVATE -Wno-deprecated-declarations)
  endif()
endfunction()

# For the program and the tests, which leave the work to the libraries: app/info.cpp takes 10 s of CPU at -O1 and 17 s at -O3. Not for what
# reuses the engine's precompiled header: GCC then optimises as that was made and says nothing (at -O1 the objects are the same, byte for byte).
function(isotrope_optimise_little target)
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1>)
endfunction()

set(ISOTROPE_SANITIZE "" CACHE STRING "Sanitizers to build with: address,undefined or thread")
if(ISOTROPE_SANITIZE)
  add_compile_options(-fsanitize=${ISOTROPE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${ISOTROPE_SANITIZE})
endif()
