# steno_embed(<target> <files>): each file becomes a function of report/embedded.h that returns its text
# (page/page.html: embedded::page_html()). Written anew when a file changes.
function(steno_embed target)
  set(output ${CMAKE_CURRENT_BINARY_DIR}/embedded.cpp)
  list(TRANSFORM ARGN PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/ OUTPUT_VARIABLE files)
  set(script ${CMAKE_SOURCE_DIR}/cmake/embed.cmake)
  string(REPLACE ";" "|" joined "${files}")
  add_custom_command(OUTPUT ${output} DEPENDS ${files} ${script} VERBATIM
    COMMAND ${CMAKE_COMMAND} "-DFILES=${joined}" -DOUTPUT=${output} -P ${script}
    COMMENT "Embedding files of the report's page")
  target_sources(${target} PRIVATE ${output})
endfunction()
