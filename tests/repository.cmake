# Tests of the repository itself: the include arrows, the scripts' syntax, the installed program and package.
find_program(ISOTROPE_TEST_PYTHON NAMES python3 REQUIRED)
find_program(ISOTROPE_TEST_BASH bash REQUIRED)

add_test(NAME repository.include_arrows COMMAND ${ISOTROPE_TEST_PYTHON} ${CMAKE_SOURCE_DIR}/tests/include_arrows.py ${CMAKE_SOURCE_DIR})
add_test(NAME repository.include_arrows_self_test COMMAND ${ISOTROPE_TEST_PYTHON} ${CMAKE_SOURCE_DIR}/tests/include_arrows.py --self-test)
add_test(NAME repository.dev_syntax COMMAND ${ISOTROPE_TEST_BASH} -n ${CMAKE_SOURCE_DIR}/dev)
add_test(NAME repository.ci_syntax COMMAND ${ISOTROPE_TEST_BASH} -n ${CMAKE_SOURCE_DIR}/.ci/run)
set_tests_properties(repository.include_arrows repository.include_arrows_self_test repository.dev_syntax repository.ci_syntax
                     PROPERTIES LABELS fast TIMEOUT 60)

# A sanitizer's run-time library would have to be linked by the consumer too; that is not how the package is used.
if(NOT ISOTROPE_SANITIZE)
  add_test(NAME repository.install COMMAND ${ISOTROPE_TEST_BASH} ${CMAKE_SOURCE_DIR}/tests/install/install_test.sh
           ${CMAKE_COMMAND} ${CMAKE_BINARY_DIR} ${CMAKE_SOURCE_DIR}/tests/install/consumer ${CMAKE_CXX_COMPILER} ${ISOTROPE_ENGINE})
  set_tests_properties(repository.install PROPERTIES LABELS full TIMEOUT 600)
endif()
