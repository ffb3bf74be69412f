# Everything that comes from Debian packages, and LibTorch from the cached folder that scripts/fetch_libtorch.sh fills.
find_package(Threads REQUIRED)
find_package(Protobuf REQUIRED)
find_package(gRPC CONFIG REQUIRED)
find_package(absl CONFIG REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED)
find_package(yaml-cpp CONFIG REQUIRED)
find_package(nlohmann_json CONFIG REQUIRED)
find_package(CLI11 CONFIG REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
if(PIXELREC_TESTS)
  # The reference for tokenizer.model, a package of the group `test`: `make build` does without, `make test` installs it.
  pkg_check_modules(SENTENCEPIECE IMPORTED_TARGET sentencepiece)
  find_package(GTest CONFIG REQUIRED)
  include(GoogleTest)
endif()

# libcsv ships no CMake or pkg-config file.
find_path(CSV_INCLUDE_DIR csv.h REQUIRED)
find_library(CSV_LIBRARY csv REQUIRED)
add_library(csv::csv UNKNOWN IMPORTED)
set_target_properties(csv::csv PROPERTIES IMPORTED_LOCATION ${CSV_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${CSV_INCLUDE_DIR})

# The wheel's own TorchConfig asks for a CUDA toolkit; these two libraries, the include folders and the rpath are all a CPU build needs.
if(PIXELREC_WITH_TORCH)
  if(NOT DEFINED PIXELREC_LIBTORCH)
    execute_process(COMMAND ${CMAKE_SOURCE_DIR}/scripts/fetch_libtorch.sh --print-dir
                    OUTPUT_VARIABLE PIXELREC_LIBTORCH OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  endif()
  find_path(TORCH_ROOT lib/libtorch_cpu.so HINTS ${CMAKE_PREFIX_PATH} ${PIXELREC_LIBTORCH}/torch NO_DEFAULT_PATH)
  if(NOT TORCH_ROOT)
    message(FATAL_ERROR "LibTorch is not at ${PIXELREC_LIBTORCH}: run scripts/fetch_libtorch.sh, or pass -DCMAKE_PREFIX_PATH=<LibTorch folder>")
  endif()
  add_library(c10 SHARED IMPORTED)
  set_target_properties(c10 PROPERTIES IMPORTED_LOCATION ${TORCH_ROOT}/lib/libc10.so)
  add_library(torch_cpu SHARED IMPORTED)
  set_target_properties(torch_cpu PROPERTIES IMPORTED_LOCATION ${TORCH_ROOT}/lib/libtorch_cpu.so)
  add_library(pixelrec_torch INTERFACE)
  target_include_directories(pixelrec_torch SYSTEM INTERFACE
    ${CMAKE_SOURCE_DIR}/cmake/gloo_declarations ${TORCH_ROOT}/include ${TORCH_ROOT}/include/torch/csrc/api/include)
  target_compile_definitions(pixelrec_torch INTERFACE USE_C10D_GLOO)
  # libtorch_cpu.so has its own dependencies, found by its own rpath; the linker need not follow them.
  target_link_options(pixelrec_torch INTERFACE -Wl,--unresolved-symbols=ignore-in-shared-libs)
  target_link_libraries(pixelrec_torch INTERFACE torch_cpu c10)
  add_library(pixelrec::torch ALIAS pixelrec_torch)
endif()
