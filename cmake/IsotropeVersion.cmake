# generated/isotrope_version.h: version and commit, for `isotrope --version` and every checkpoint.
execute_process(COMMAND git -C ${CMAKE_CURRENT_SOURCE_DIR} describe --always --dirty --abbrev=12 --match=NeVeR
                OUTPUT_VARIABLE ISOTROPE_COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT ISOTROPE_COMMIT)
  set(ISOTROPE_COMMIT "unknown")
endif()
configure_file(${CMAKE_CURRENT_SOURCE_DIR}/cmake/isotrope_version.h.in ${CMAKE_CURRENT_BINARY_DIR}/generated/isotrope_version.h @ONLY)

# generated/isotrope_notice.h: NOTICE is the one table of dependencies and licences; the program carries it inside.
file(READ ${CMAKE_CURRENT_SOURCE_DIR}/NOTICE ISOTROPE_NOTICE)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/NOTICE)
configure_file(${CMAKE_CURRENT_SOURCE_DIR}/cmake/isotrope_notice.h.in ${CMAKE_CURRENT_BINARY_DIR}/generated/isotrope_notice.h @ONLY)

# A commit made later is noticed at the next build.
if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/.git/logs/HEAD)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/.git/logs/HEAD)
endif()
