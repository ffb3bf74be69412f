# In the tsan preset every program also links cmake/sanitizers/absl_mutex_for_tsan.cc, which shows ThreadSanitizer the locks of Abseil.
if(PIXELREC_TSAN)
  add_library(pixelrec_tsan_locks OBJECT ${CMAKE_SOURCE_DIR}/cmake/sanitizers/absl_mutex_for_tsan.cc)
  target_link_libraries(pixelrec_tsan_locks PUBLIC absl::synchronization)
  link_libraries($<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:pixelrec_tsan_locks>)
endif()
