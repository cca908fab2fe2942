# Warnings, and the two functions with which every folder declares its library and its tests.

add_library(sandboxrun_warnings INTERFACE)
target_compile_options(sandboxrun_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion
  # A designated initialiser that names some members and leaves the rest to their defaults is meant.
  -Wno-missing-field-initializers
  $<$<BOOL:${SANDBOXRUN_WERROR}>:-Werror>)
# cpprest's macro U breaks fmt's templates.
target_compile_definitions(sandboxrun_warnings INTERFACE _TURN_OFF_PLATFORM_STRING)

# sandboxrun_library(NAME SOURCES a.cc ... [LIBS l ...] [PRIVATE_LIBS l ...])
# Includes are written from the top of the tree: #include "operator/base/error.h".
function(sandboxrun_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;LIBS;PRIVATE_LIBS" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC ${arg_LIBS} PRIVATE ${arg_PRIVATE_LIBS} sandboxrun_warnings)
endfunction()

# sandboxrun_test(NAME TIER unit|contract|api|attack|system|cluster SOURCES a_test.cc ... [LIBS l ...]
#                 [DEPENDS targets whose programs the test starts] [SERIAL])
# One executable; each of its tests is one ctest test with the tier as its label.
function(sandboxrun_test name)
  cmake_parse_arguments(arg "SERIAL" "TIER;TIMEOUT" "SOURCES;LIBS;DEPENDS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${arg_LIBS} GTest::gtest GTest::gmock GTest::gtest_main
                        sandboxrun_warnings)
  target_compile_definitions(${name} PRIVATE
    SANDBOXRUN_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
    SANDBOXRUN_BINARY_DIR="${PROJECT_BINARY_DIR}")
  if(arg_DEPENDS)
    add_dependencies(${name} ${arg_DEPENDS})
  endif()
  set(properties LABELS ${arg_TIER} TIMEOUT ${arg_TIMEOUT})
  if(arg_SERIAL)
    list(APPEND properties RUN_SERIAL TRUE)
  endif()
  if(arg_TIER STREQUAL "cluster")
    list(APPEND properties FIXTURES_REQUIRED cluster)
  endif()
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
                       TEST_PREFIX "${arg_TIER}." PROPERTIES ${properties})
endfunction()
