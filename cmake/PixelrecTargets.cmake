# pixelrec_library(NAME SOURCES ... [PUBLIC deps] [PRIVATE deps] [TORCH])   one static library per folder, alias pixelrec::NAME
# pixelrec_program(NAME SOURCES ... [PRIVATE deps] [TORCH])                 one executable in bin/
# pixelrec_test(NAME SOURCES ... [DEPS deps] [TORCH] [TIMEOUT s] [LABELS ...])   one GoogleTest program, every case a ctest test
# TORCH targets see LibTorch and never generated protobuf headers (the wheel ships its own older google/protobuf).

add_library(pixelrec_options INTERFACE)
target_include_directories(pixelrec_options INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(pixelrec_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Werror
  -Wno-missing-field-initializers  # GCC 12 warns of members that a designated initialiser leaves at their default
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)  # false alarms on std::string at -O3 (GCC bug 105651); Clang has no such warning
target_compile_definitions(pixelrec_options INTERFACE PIXELREC_VERSION="${PROJECT_VERSION}")
target_link_libraries(pixelrec_options INTERFACE Threads::Threads)

# The sanitizer presets compile a target's files together (CMAKE_UNITY_BUILD), and every preset a test program's, which halves their
# time. These can't share a translation unit: equal names in their anonymous namespaces, or SentencePiece's header beside Abseil's.
set(PIXELREC_SEPARATE_SOURCES dist_test model_test ctl_test tools_test tokenizer_test coordinator_service config checkpoint data metrics_test sentencepiece_reference_test data_test hand_made_items_test)

function(_pixelrec_common target)
  string(REGEX REPLACE "^pixelrec_" "" short_name ${target})
  if(short_name IN_LIST PIXELREC_SEPARATE_SOURCES)
    set_target_properties(${target} PROPERTIES UNITY_BUILD OFF)
  endif()
  target_link_libraries(${target} PRIVATE pixelrec_options)
  if(ARG_TORCH)
    target_link_libraries(${target} PUBLIC pixelrec::torch)
  endif()
endfunction()

function(pixelrec_library name)
  cmake_parse_arguments(ARG "TORCH" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  if(ARG_TORCH AND NOT PIXELREC_WITH_TORCH)
    return()
  endif()
  add_library(pixelrec_${name} STATIC ${ARG_SOURCES})
  add_library(pixelrec::${name} ALIAS pixelrec_${name})
  _pixelrec_common(pixelrec_${name})
  target_link_libraries(pixelrec_${name} PUBLIC ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
endfunction()

# Everything that lies in bin/, without the tests.
add_custom_target(programs)

function(pixelrec_program name)
  cmake_parse_arguments(ARG "TORCH" "" "SOURCES;PRIVATE" ${ARGN})
  if(ARG_TORCH AND NOT PIXELREC_WITH_TORCH)
    return()
  endif()
  add_executable(${name} ${ARG_SOURCES})
  add_dependencies(programs ${name})
  _pixelrec_common(${name})
  target_link_libraries(${name} PRIVATE ${ARG_PRIVATE})
endfunction()

function(pixelrec_test name)
  cmake_parse_arguments(ARG "TORCH" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  if(ARG_TORCH AND NOT PIXELREC_WITH_TORCH)
    return()
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  if(NOT CMAKE_UNITY_BUILD)
    set_target_properties(${name} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 6)
  endif()
  _pixelrec_common(${name})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
  # Tests find the repository's files and the built programs by these two paths.
  target_compile_definitions(${name} PRIVATE PIXELREC_SOURCE_DIR="${CMAKE_SOURCE_DIR}" PIXELREC_BIN_DIR="${CMAKE_BINARY_DIR}/bin")
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 TEST_PREFIX "${name}." PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
endfunction()
