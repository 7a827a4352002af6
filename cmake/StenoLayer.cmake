# steno_layer(<name> [DEPS <layers>] [LIBS <libraries>] [EXCLUDE <files>] [TORCH])
#
# One folder, one static library: every *.cpp below the folder except *_test.cpp, which become one test program
# <name>_test. TORCH: compiled with the precompiled torch header of src/pch.h.
add_library(steno_flags INTERFACE)
target_compile_options(steno_flags INTERFACE -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(steno_flags INTERFACE -fpch-preprocess)
endif()
if(STENO_SANITIZE)
  target_compile_options(steno_flags INTERFACE -fsanitize=${STENO_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
  target_link_options(steno_flags INTERFACE -fsanitize=${STENO_SANITIZE})
endif()

# Programs are compiled like the libraries (-fPIC, not -fPIE), or the compiler would refuse the shared header.
set(CMAKE_CXX_COMPILE_OPTIONS_PIE "-fPIC")

# One precompiled header, built once, shared by every target that uses torch.
file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/pch.cpp CONTENT "// holds the precompiled header\n")
add_library(steno_pch STATIC ${CMAKE_BINARY_DIR}/pch.cpp)
target_link_libraries(steno_pch PUBLIC steno_flags steno_torch fmt::fmt nlohmann_json::nlohmann_json)
target_include_directories(steno_pch PUBLIC ${CMAKE_SOURCE_DIR}/src)
target_precompile_headers(steno_pch PRIVATE ${CMAKE_SOURCE_DIR}/src/pch.h)

function(steno_use_pch target)
  target_link_libraries(${target} PRIVATE steno_pch)
  target_precompile_headers(${target} REUSE_FROM steno_pch)
endfunction()

function(steno_layer name)
  cmake_parse_arguments(ARG "TORCH" "" "DEPS;LIBS;EXCLUDE" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "(_test|_fuzz|main)\\.cpp$")
  foreach(file ${ARG_EXCLUDE})
    list(REMOVE_ITEM sources ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  endforeach()
  if(NOT sources)
    return()
  endif()
  list(TRANSFORM ARG_DEPS PREPEND steno_ OUTPUT_VARIABLE deps)

  add_library(steno_${name} STATIC ${sources})
  target_include_directories(steno_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(steno_${name} PUBLIC steno_flags ${deps} ${ARG_LIBS} fmt::fmt)
  if(ARG_TORCH)
    target_link_libraries(steno_${name} PUBLIC steno_torch)
    steno_use_pch(steno_${name})
  endif()
  if(STENO_TESTS AND tests)
    steno_test(${name}_test SOURCES ${tests} LIBS steno_${name} $<$<BOOL:${ARG_TORCH}>:steno_torch>)
    if(ARG_TORCH)
      steno_use_pch(${name}_test)
    endif()
  endif()
endfunction()

# steno_test(<name> SOURCES ... LIBS ...): a GoogleTest program known to ctest as one test. It runs in the repository
# root, finds test data through STENO_SOURCE_DIR and the default model through STENO_MODEL or models/.
function(steno_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${RAPIDCHECK_INCLUDE} ${CMAKE_SOURCE_DIR}/tests)
  target_compile_definitions(${name} PRIVATE STENO_SOURCE_DIR="${CMAKE_SOURCE_DIR}" STENO_BINARY_DIR="${CMAKE_BINARY_DIR}")
  target_link_libraries(${name} PRIVATE steno_flags ${ARG_LIBS} ${RAPIDCHECK_LIBRARY} GTest::gmock GTest::gtest GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  # One measurement or model run at a time: OpenMP teams that share two cores slow each other many times over.
  set_tests_properties(${name} PROPERTIES RUN_SERIAL TRUE TIMEOUT 1800)
  if(STENO_SANITIZE)
    # Absurd allocations are asked for on purpose and must fail as they do without the sanitizer.
    set_tests_properties(${name} PROPERTIES ENVIRONMENT "ASAN_OPTIONS=allocator_may_return_null=1")
  endif()
endfunction()
