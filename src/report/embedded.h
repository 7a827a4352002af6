// The files of page/, put into the program at build time (cmake/StenoEmbed.cmake).
#pragma once
#include <string_view>

namespace steno::report::embedded {

std::string_view page_html();
std::string_view style_css();
std::string_view plot_css();
std::string_view page_js();

}  // namespace steno::report::embedded
