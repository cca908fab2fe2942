# Warnings (errors, but for the sanitizers' presets: gcc 12 sees faults in its own library where that is
# instrumented), and the two functions with which every folder declares its library and its tests.

add_library(sandboxrun_warnings INTERFACE)
target_compile_options(sandboxrun_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion
  # A designated initialiser that names some members and leaves the rest to their defaults is meant.
  -Wno-missing-field-initializers
  $<$<BOOL:${SANDBOXRUN_WERROR}>:-Werror>)
# cpprest's macro U breaks fmt's templates.
target_compile_definitions(sandboxrun_warnings INTERFACE _TURN_OFF_PLATFORM_STRING)

# What nearly every source reads, compiled once: a sample of 49 files took 30 % less. One set of the standard
# library's headers for the libraries, and one with googletest for what serves the tests. Every
# source still includes what it uses: the fuzz targets and clang-tidy go without
# (CMAKE_DISABLE_PRECOMPILE_HEADERS), and would refuse a source that relies on this.
set(sandboxrun_common_headers
  <algorithm> <array> <chrono> <condition_variable> <cstddef> <cstdint> <expected> <functional> <map>
  <memory> <mutex> <optional> <set> <span> <stop_token> <string> <string_view> <thread> <utility>
  <variant> <vector>)
# Tests are built more often than they run. Their libraries and programs share what is precompiled,
# so all are compiled as libraries are.
set(sandboxrun_test_options $<$<CONFIG:Release>:-O1> -fPIC)

# sandboxrun_precompiled(NAME HEADERS <h> ... [OPTIONS o ...] [LIBS l ...])
function(sandboxrun_precompiled name)
  cmake_parse_arguments(arg "" "" "HEADERS;OPTIONS;LIBS" ${ARGN})
  add_library(${name} OBJECT ${PROJECT_SOURCE_DIR}/cmake/precompiled.cc)
  target_link_libraries(${name} PRIVATE ${arg_LIBS} sandboxrun_warnings)
  target_compile_options(${name} PRIVATE ${arg_OPTIONS})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${name} PRIVATE -fpch-preprocess)
  endif()
  target_precompile_headers(${name} PRIVATE ${arg_HEADERS})
endfunction()
sandboxrun_precompiled(sandboxrun_pch HEADERS ${sandboxrun_common_headers})
if(SANDBOXRUN_TESTS AND NOT SANDBOXRUN_FUZZERS)
  find_package(GTest REQUIRED)
  sandboxrun_precompiled(sandboxrun_test_pch
    HEADERS ${sandboxrun_common_headers} <filesystem> <gmock/gmock.h> <gtest/gtest.h>
    OPTIONS ${sandboxrun_test_options} LIBS GTest::gmock)
endif()

# sandboxrun_use_precompiled(TARGET PCH)
function(sandboxrun_use_precompiled name pch)
  target_precompile_headers(${name} REUSE_FROM ${pch})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND NOT CMAKE_DISABLE_PRECOMPILE_HEADERS)
    # ccache asks for the first. The others: gcc 12 sees faults in std::string's own code once that
    # is precompiled, where else it knows that it is no code of ours.
    target_compile_options(${name} PRIVATE -fpch-preprocess
      -Wno-array-bounds -Wno-restrict -Wno-stringop-overflow)
  endif()
endfunction()

# sandboxrun_library(NAME SOURCES a.cc ... [LIBS l ...] [PRIVATE_LIBS l ...])
# Includes are written from the top of the tree: #include "operator/base/error.h".
function(sandboxrun_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;LIBS;PRIVATE_LIBS" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC ${arg_LIBS} PRIVATE ${arg_PRIVATE_LIBS} sandboxrun_warnings)
  sandboxrun_use_precompiled(${name} sandboxrun_pch)
endfunction()

# sandboxrun_test_library(NAME SOURCES a.cc ... [LIBS l ...] [PRIVATE_LIBS l ...])
# What several tests share.
function(sandboxrun_test_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;LIBS;PRIVATE_LIBS" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_compile_definitions(${name} PRIVATE
    SANDBOXRUN_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
    SANDBOXRUN_BINARY_DIR="${PROJECT_BINARY_DIR}")
  target_compile_options(${name} PRIVATE ${sandboxrun_test_options})
  target_link_libraries(${name} PUBLIC ${arg_LIBS}
                        PRIVATE ${arg_PRIVATE_LIBS} GTest::gmock sandboxrun_warnings)
  sandboxrun_use_precompiled(${name} sandboxrun_test_pch)
endfunction()

# sandboxrun_test(NAME TIER unit|contract|api|attack|system|cluster SOURCES a_test.cc ... [LIBS l ...]
#                 [DEPENDS targets whose programs the test starts] [SERIAL])
# One executable; each of its tests is one ctest test with the tier as its label.
function(sandboxrun_test name)
  cmake_parse_arguments(arg "SERIAL" "TIER;TIMEOUT" "SOURCES;LIBS;DEPENDS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  if(CMAKE_CXX_FLAGS MATCHES "-fsanitize")
    math(EXPR arg_TIMEOUT "${arg_TIMEOUT} * 5")
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${arg_LIBS} GTest::gtest GTest::gmock GTest::gtest_main
                        sandboxrun_warnings)
  target_compile_definitions(${name} PRIVATE
    SANDBOXRUN_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
    SANDBOXRUN_BINARY_DIR="${PROJECT_BINARY_DIR}")
  target_compile_options(${name} PRIVATE ${sandboxrun_test_options})
  sandboxrun_use_precompiled(${name} sandboxrun_test_pch)
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
