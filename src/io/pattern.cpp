#include "io/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/error.h"
#include "base/utf8.h"

namespace steno {
namespace {

// A pattern in use matches a word in some hundred steps; a run of white space takes one per character.
constexpr uint32_t kMatchLimit = 20'000'000;
constexpr uint32_t kDepthLimit = 20'000;
constexpr uint32_t kHeapLimitKib = 64 * 1024;

// What one thread needs for matching, whichever the pattern.
struct Scratch {
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32 * 1024, 8 * 1024 * 1024, nullptr);

  Scratch() {
    if (!data || !context || !stack) throw ResourceError("[tokenizer] out of memory for pattern matching");
    pcre2_set_match_limit(context, kMatchLimit);
    pcre2_set_depth_limit(context, kDepthLimit);
    pcre2_set_heap_limit(context, kHeapLimitKib);
    pcre2_jit_stack_assign(context, nullptr, stack);
  }
  ~Scratch() {
    pcre2_jit_stack_free(stack);
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
  }
};

std::string message_of(int code) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(code, buffer, sizeof(buffer));
  return reinterpret_cast<const char*>(buffer);
}

// PCRE2's \s holds U+180E, which is no white space in Unicode.
std::string translate(std::string_view source, const std::string& owner) {
  constexpr std::string_view kSpace = "\\t-\\r\\x{85}\\p{Z}";
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < source.size(); ++i) {
    const char c = source[i];
    if (c == '\\' && i + 1 < source.size()) {
      const char escaped = source[++i];
      if (escaped == 's' || (escaped == 'S' && !in_class)) {
        if (in_class)
          out += kSpace;
        else
          out += (escaped == 's' ? "[" : "[^") + std::string(kSpace) + "]";
      } else if (escaped == 'h' || escaped == 'H' || (escaped == 'S' && in_class)) {
        throw InputError("{}: pattern '{}': \\{} is not supported{}", owner, source, escaped,
                         in_class ? " in a class" : "");
      } else {
        out += {c, escaped};
      }
      continue;
    }
    if (in_class && c == '[' && source.substr(i, 2) != "[:")
      throw InputError("{}: pattern '{}': a class inside a class is not supported", owner, source);
    if (in_class && source.substr(i, 2) == "&&")
      throw InputError("{}: pattern '{}': class intersection (&&) is not supported", owner, source);
    if (in_class && source.substr(i, 2) == "[:") {  // a POSIX class: copied up to its own end
      const size_t end = source.find(":]", i);
      if (end != std::string_view::npos) {
        out += source.substr(i, end + 2 - i);
        i = end + 1;
        continue;
      }
    }
    if (c == '[' && !in_class) {
      in_class = true;
      out += c;
      if (i + 1 < source.size() && source[i + 1] == '^') out += source[++i];
      if (i + 1 < source.size() && source[i + 1] == ']') out += source[++i];
      continue;
    }
    if (c == ']') in_class = false;
    out += c;
  }
  return out;
}

}  // namespace

Pattern::Pattern(std::string_view source, const std::string& owner) : source_(source), owner_(owner) {
  if (find_invalid_utf8(source) != std::string_view::npos) throw InputError("{}: a pattern is not valid UTF-8", owner);
  const std::string translated = translate(source, owner);
  int error = 0;
  PCRE2_SIZE offset = 0;
  const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C;
  const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
  pcre2_set_parens_nest_limit(context.get(), 100);
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(), options, &error,
                                   &offset, context.get());
  if (!code) throw InputError("{}: pattern '{}': {} (at {})", owner, source, message_of(error), offset);
  code_ = std::shared_ptr<const void>(
      code, [](const void* p) { pcre2_code_free(static_cast<pcre2_code*>(const_cast<void*>(p))); });
  jit_ = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0;
}

bool Pattern::find(std::string_view text, size_t from, size_t& begin, size_t& end) const {
  thread_local Scratch scratch;
  const auto* code = static_cast<const pcre2_code*>(code_.get());
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const int rc =
      jit_ ? pcre2_jit_match(code, subject, text.size(), from, PCRE2_NO_UTF_CHECK, scratch.data, scratch.context)
           : pcre2_match(code, subject, text.size(), from, PCRE2_NO_UTF_CHECK, scratch.data, scratch.context);
  if (rc == PCRE2_ERROR_NOMATCH) return false;
  if (rc < 0)
    throw InputError("{}: pattern '{}' cannot be matched at byte {} of a text: {}", owner_, source_, from,
                     message_of(rc));
  const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(scratch.data);
  begin = bounds[0];
  end = bounds[1];
  // \K inside a lookahead can put the start behind the end.
  if (begin > end || begin < from)
    throw InputError("{}: pattern '{}' matches backwards; \\K is not supported", owner_, source_);
  return true;
}

}  // namespace steno
