# How every target of Hive is built: the warnings, the sanitizers, and one include root for each
# layer, so that a file names the layer it looks into: "machine/layout.h".

add_library(hive_flags INTERFACE)
target_compile_options(hive_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow
  -Wno-unknown-warning-option)
if(HIVE_WERROR)
  target_compile_options(hive_flags INTERFACE -Werror)
endif()
if(HIVE_SANITIZE)
  target_compile_options(hive_flags INTERFACE -fsanitize=${HIVE_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(hive_flags INTERFACE -fsanitize=${HIVE_SANITIZE})
endif()
if(HIVE_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC warns that ThreadSanitizer does not see fences; those that we have are about memory of
  # another process, which it does not see either.
  target_compile_options(hive_flags INTERFACE -Wno-tsan)
endif()

# hive_layer(NAME FILES...): a static library of one layer.
function(hive_layer name)
  add_library(${name} STATIC ${ARGN})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
  target_link_libraries(${name} PRIVATE hive_flags)
endfunction()

# hive_precompile(NAME HEADERS...): parses big headers of libraries once for the target. No source
# may rely on it: the clang preset builds without.
function(hive_precompile name)
  target_precompile_headers(${name} PRIVATE ${ARGN})
endfunction()

# hive_test_timeout(OUT SECONDS): how long a test may take in this build. As the waits of the tests
# (HIVE_TEST_PATIENCE in the presets), four times as long under a sanitizer.
function(hive_test_timeout out seconds)
  if(HIVE_SANITIZE)
    math(EXPR seconds "${seconds} * 4")
  endif()
  set(${out} ${seconds} PARENT_SCOPE)
endfunction()

# The precompiled headers that all tests share.
add_executable(hive_test_headers EXCLUDE_FROM_ALL ${PROJECT_SOURCE_DIR}/cmake/test_headers.cpp)
target_link_libraries(hive_test_headers PRIVATE hive_flags GTest::gtest_main)
hive_precompile(hive_test_headers <gtest/gtest.h> <array> <atomic> <memory> <string> <thread> <vector>)

# hive_test(NAME LIBRARIES... FILES...): a GoogleTest program; files end in .cpp.
function(hive_test name)
  set(files ${ARGN})
  list(FILTER files INCLUDE REGEX "\\.cpp$")
  set(libraries ${ARGN})
  list(FILTER libraries EXCLUDE REGEX "\\.cpp$")
  add_executable(${name} ${files})
  target_link_libraries(${name} PRIVATE hive_flags ${libraries} GTest::gtest_main)
  target_include_directories(${name} PRIVATE
    ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/tests)
  target_precompile_headers(${name} REUSE_FROM hive_test_headers)
  hive_test_timeout(timeout_s 120)
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT ${timeout_s})
endfunction()

# What the sanitizer of this build cannot run: read from tests/sanitizer-skips.cmake, and told.
set(HIVE_SKIPPED_TESTS)
function(hive_sanitizer_skip sanitizers test reason)
  string(REPLACE "," ";" sanitizers "${sanitizers}")
  string(REPLACE "," ";" built_with "${HIVE_SANITIZE}")
  foreach(sanitizer IN LISTS built_with)
    if(sanitizer IN_LIST sanitizers)
      message(STATUS "Not run under the ${sanitizer} sanitizer: ${test}: ${reason}")
      set(HIVE_SKIPPED_TESTS ${HIVE_SKIPPED_TESTS} ${test} PARENT_SCOPE)
    endif()
  endforeach()
endfunction()
include(${PROJECT_SOURCE_DIR}/tests/sanitizer-skips.cmake)

# hive_disable_skipped_tests(): in a directory of tests, after those that are made there. CTest meets
# the tests of a GoogleTest program only when it runs: their skips go into a script of its own.
function(hive_disable_skipped_tests)
  set(script "")
  foreach(test IN LISTS HIVE_SKIPPED_TESTS)
    if(TEST ${test})
      set_tests_properties(${test} PROPERTIES DISABLED TRUE)
    else()
      string(APPEND script "set_tests_properties(${test} PROPERTIES DISABLED TRUE)\n")
    endif()
  endforeach()
  if(script)
    file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/sanitizer_skips.cmake "${script}")
    set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES
      ${CMAKE_CURRENT_BINARY_DIR}/sanitizer_skips.cmake)
  endif()
endfunction()
