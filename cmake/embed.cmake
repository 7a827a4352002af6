# cmake -DFILES="a.css|b.js" -DOUTPUT=embedded.cpp -P embed.cmake: see StenoEmbed.cmake.
set(text "// Made by cmake/embed.cmake; do not edit.\n#include \"report/embedded.h\"\n\nnamespace steno::report::embedded {\n")
string(REPLACE "|" ";" FILES "${FILES}")
foreach(file IN LISTS FILES)
  get_filename_component(name ${file} NAME)
  string(MAKE_C_IDENTIFIER ${name} name)
  # Numbers, and no literal: compilers limit the length of literals and need no escapes here.
  file(READ ${file} bytes HEX)
  string(LENGTH "${bytes}" digits)
  math(EXPR size "${digits} / 2")
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  string(REGEX REPLACE "(................................................................................)" "\\1\n" bytes "${bytes}")
  string(APPEND text "\nstatic const unsigned char ${name}_bytes[] = {\n${bytes}};\n"
    "std::string_view ${name}() { return {reinterpret_cast<const char*>(${name}_bytes), ${size}}; }\n")
endforeach()
string(APPEND text "\n}  // namespace steno::report::embedded\n")
file(WRITE ${OUTPUT} "${text}")
