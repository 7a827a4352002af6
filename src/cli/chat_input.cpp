#include "cli/chat_input.h"

#include <histedit.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cwchar>

#include "base/error.h"
#include "base/interrupt.h"

namespace steno {
namespace {

namespace fs = std::filesystem;

// Waits until there is something to read. False when Ctrl-C came first. A signal may be delivered to any thread, so the
// flag is looked at, not only the call that it interrupts.
bool wait_for_input(int fd) {
  for (;;) {
    if (interrupted()) return false;
    pollfd one{fd, POLLIN, 0};
    const int ready = ::poll(&one, 1, 100);
    if (ready > 0 || (ready < 0 && errno != EINTR)) return true;  // read() tells what is wrong
  }
}

class PlainInput : public ChatInput {
 public:
  explicit PlainInput(int fd) : fd_(fd) {}

  InputLine read(const char*) override {
    for (size_t from = 0;;) {
      if (const size_t at = pending_.find('\n', from); at != std::string::npos) {
        InputLine line{InputLine::Kind::line, pending_.substr(0, at)};
        pending_.erase(0, at + 1);
        return line;
      }
      from = pending_.size();
      if (!wait_for_input(fd_)) return {InputLine::Kind::interrupted, {}, !pending_.empty()};
      char buffer[4096];
      const ssize_t got = ::read(fd_, buffer, sizeof buffer);
      if (got > 0) {
        pending_.append(buffer, static_cast<size_t>(got));
      } else if (got == 0) {
        if (interrupted()) return {InputLine::Kind::interrupted, {}, !pending_.empty()};
        if (pending_.empty()) return {};
        return {InputLine::Kind::line, std::exchange(pending_, {})};
      } else if (errno != EINTR) {
        throw InputError("[chat] standard input cannot be read: {}", std::strerror(errno));
      }
    }
  }

 private:
  int fd_;
  std::string pending_;
};

class TerminalInput : public ChatInput {
 public:
  TerminalInput(fs::path path, FILE* out) : path_(std::move(path)) {
    // libedit decodes what is typed by the locale; in the C locale nothing but ASCII could be typed.
    std::setlocale(LC_CTYPE, "");
    if (MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
    editor_ = el_init("steno", stdin, out, stderr);
    history_ = ::history_init();
    if (!editor_ || !history_) throw ResourceError("[chat] no memory for line editing");
    el_set(editor_, EL_CLIENTDATA, this);
    el_set(editor_, EL_PROMPT, &show_prompt);
    el_set(editor_, EL_GETCFN, &read_character);
    el_set(editor_, EL_EDITOR, "emacs");
    el_set(editor_, EL_HIST, &::history, history_);
    el_set(editor_, EL_ADDFN, "file", "complete a file name", &_el_fn_complete);
    static constexpr const char* kKeys[][2] = {{"^I", "file"},
                                               {"^R", "em-inc-search-prev"},
                                               {"\\e[H", "ed-move-to-beg"},
                                               {"\\e[F", "ed-move-to-end"},
                                               {"\\e[3~", "ed-delete-next-char"},
                                               {"\\e[1;5C", "em-next-word"},
                                               {"\\e[1;5D", "ed-prev-word"}};
    for (const auto& [key, action] : kKeys) el_set(editor_, EL_BIND, key, action, nullptr);
    el_source(editor_, nullptr);
    HistEvent event;
    ::history(history_, &event, H_SETSIZE, 2000);
    ::history(history_, &event, H_SETUNIQUE, 1);
    if (!path_.empty()) ::history(history_, &event, H_LOAD, path_.c_str());
  }
  ~TerminalInput() override {
    ::history_end(history_);
    el_end(editor_);
  }

  InputLine read(const char* prompt) override {
    prompt_ = prompt;
    typed_ = false;
    el_resize(editor_);
    int count = 0;
    const char* line = el_gets(editor_, &count);
    if (!line || count <= 0) {
      if (interrupted()) return {InputLine::Kind::interrupted, {}, typed_};
      return {};
    }
    std::string text(line, static_cast<size_t>(count));
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
    if (text.find_first_not_of(" \t") != std::string::npos) remember(text);
    return {InputLine::Kind::line, std::move(text)};
  }

 private:
  static TerminalInput& self(EditLine* editor) {
    void* data = nullptr;
    el_get(editor, EL_CLIENTDATA, &data);
    return *static_cast<TerminalInput*>(data);
  }
  static char* show_prompt(EditLine* editor) { return const_cast<char*>(self(editor).prompt_.c_str()); }

  // libedit's own reader takes the first interrupted read for a passing trouble and would wait for another key.
  static int read_character(EditLine* editor, wchar_t* character) {
    std::mbstate_t state{};
    for (;;) {
      if (!wait_for_input(STDIN_FILENO)) {
        const LineInfo* line = el_line(editor);
        self(editor).typed_ = line->lastchar > line->buffer;
        return -1;
      }
      char byte = 0;
      const ssize_t got = ::read(STDIN_FILENO, &byte, 1);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return static_cast<int>(got);
      // Typed before libedit had the terminal in raw mode, Ctrl-D arrives as a zero.
      if (byte == 0) byte = '\4';
      const size_t used = std::mbrtowc(character, &byte, 1, &state);
      if (used == static_cast<size_t>(-2)) continue;  // the character goes on
      if (used == static_cast<size_t>(-1)) {          // no UTF-8: the byte is left out
        state = {};
        continue;
      }
      return 1;
    }
  }

  void remember(const std::string& text) {
    HistEvent event;
    ::history(history_, &event, H_ENTER, text.c_str());
    if (path_.empty()) return;
    std::error_code ignored;
    fs::create_directories(path_.parent_path(), ignored);
    ::history(history_, &event, H_SAVE, path_.c_str());  // readable by the owner only, says libedit
  }

  fs::path path_;
  std::string prompt_;
  bool typed_ = false;
  EditLine* editor_ = nullptr;
  ::History* history_ = nullptr;
};

}  // namespace

std::unique_ptr<ChatInput> open_terminal_input(const fs::path& history, bool prompt_on_stderr) {
  return std::make_unique<TerminalInput>(history, prompt_on_stderr || !isatty(STDOUT_FILENO) ? stderr : stdout);
}

std::unique_ptr<ChatInput> open_plain_input(int fd) { return std::make_unique<PlainInput>(fd); }

fs::path history_path() {
  if (const char* state = std::getenv("XDG_STATE_HOME"); state && *state) return fs::path(state) / "steno/history";
  if (const char* home = std::getenv("HOME"); home && *home) return fs::path(home) / ".local/state/steno/history";
  return {};
}

}  // namespace steno
