# hf_tokenizers: the Hugging Face tokenizers crate as a static library, built by cargo into a cached folder that all presets share
# (scripts/build_hf_tokenizers.sh). Nothing is built, and no cargo needed, while that folder holds it.
set(_crate ${CMAKE_SOURCE_DIR}/worker/tokenizer/hf_tokenizers)
set(_crate_files ${_crate}/Cargo.toml ${_crate}/Cargo.lock ${_crate}/src/lib.rs)
# The folder is named after their content.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${_crate_files})
execute_process(COMMAND ${CMAKE_SOURCE_DIR}/scripts/build_hf_tokenizers.sh --print-dir
                OUTPUT_VARIABLE _hf_dir OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
add_custom_command(OUTPUT ${_hf_dir}/libhf_tokenizers.a COMMAND ${CMAKE_SOURCE_DIR}/scripts/build_hf_tokenizers.sh
                   COMMENT "Hugging Face tokenizers" USES_TERMINAL VERBATIM)
add_custom_target(hf_tokenizers_build DEPENDS ${_hf_dir}/libhf_tokenizers.a)
add_library(hf_tokenizers STATIC IMPORTED GLOBAL)
set_target_properties(hf_tokenizers PROPERTIES IMPORTED_LOCATION ${_hf_dir}/libhf_tokenizers.a
                      INTERFACE_LINK_LIBRARIES "Threads::Threads;${CMAKE_DL_LIBS};m")
add_dependencies(hf_tokenizers hf_tokenizers_build)
