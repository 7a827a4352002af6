"""End-to-end tests of `steno chat` on a terminal of its own.

Usage: chat_terminal_test.py STENO [unittest arguments]. Tests that need the default model are skipped aloud without it.
"""
import json
import os
import pty
import re
import select
import signal
import time
import unittest

from chat_test_util import ChatTest
from program_test_util import MODEL, STENO, TINY, needs_model


class Terminal:
    """steno chat on a terminal of its own."""

    def __init__(self, *arguments, home, model=MODEL):
        self.text = ""
        self.child, self.fd = pty.fork()
        if self.child == 0:
            os.environ.update(HOME=str(home), XDG_STATE_HOME=str(home / "state"), TERM="xterm", LC_ALL="C.UTF-8")
            os.execv(STENO, [str(STENO), "chat", "--model", str(model), *map(str, arguments)])

    def type(self, text):
        time.sleep(0.2)  # a prompt is shown just before the terminal passes on single keys
        os.write(self.fd, text.encode())

    def pour(self, data):
        """Much input at once. What is echoed is read meanwhile, or both sides would wait for each other."""
        while data:
            readable, writable, _ = select.select([self.fd], [self.fd], [], 60)
            if readable:
                os.read(self.fd, 65536)
            if writable:
                data = data[os.write(self.fd, data[:256]):]

    def wait_for(self, pattern, seconds=120):
        """Reads until the pattern is there; returns what came with it and forgets it."""
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.text)):
            if time.monotonic() > end:
                raise AssertionError(f"no {pattern!r} in {self.text!r}")
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    data = os.read(self.fd, 65536)
                except OSError:
                    data = b""
                if not data:
                    raise AssertionError(f"ended without {pattern!r}: {self.text!r}")
                self.text += data.decode(errors="replace")
        got, self.text = self.text[:found.end()], self.text[found.end():]
        return got

    def close(self):
        """Waits for the end; returns the exit status."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    self.text += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:
                    pass
            done, status = os.waitpid(self.child, os.WNOHANG)
            if done:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
        os.kill(self.child, signal.SIGKILL)
        raise AssertionError(f"does not end: {self.text!r}")


class TerminalTest(ChatTest):
    def terminal(self, *arguments, model=TINY / "llama_tied"):
        return Terminal("--temperature", 0, "--method", "streaming-llm", *arguments, home=self.folder, model=model)

    def test_editing_and_history(self):
        log = self.folder / "log.jsonl"
        chat_ = self.terminal("--max-new-tokens", 3, "--transcript", log)
        chat_.wait_for("> ")
        chat_.type("abd\x1b[Dc\x1b[H1 \x1b[F e\r")  # left, home, end
        chat_.wait_for("\n> |\r> ")
        chat_.type("second\r")
        chat_.wait_for("second.*\n(.*\n)+.*> ")
        chat_.type("\x1b[A\x1b[A\r")  # two up
        chat_.wait_for("1 abcd e.*\n(.*\n)*.*> ")
        chat_.type("\x04")
        self.assertEqual(chat_.close(), 0)
        said = [json.loads(line) for line in log.read_text().splitlines()]
        self.assertEqual([line["user"] for line in said[1:]], ["1 abcd e", "second", "1 abcd e"])
        history = self.folder / "state/steno/history"
        self.assertEqual(history.stat().st_mode & 0o077, 0)
        # The next conversation remembers.
        again = self.terminal("--max-new-tokens", 3, "--transcript", log)
        again.wait_for("> ")
        again.type("\x1b[A\r")
        again.wait_for("\n(.*\n)*.*> ")
        again.type("größer\r")
        again.wait_for("größer.*\n(.*\n)*.*> ")
        again.type("/quit\r")
        self.assertEqual(again.close(), 0)
        said = [json.loads(line) for line in log.read_text().splitlines()]
        self.assertEqual(said[5]["user"], "1 abcd e")

    def test_a_history_that_cannot_be_written_is_done_without(self):
        (self.folder / "state").write_text("a file where the folder should be")
        chat_ = self.terminal("--max-new-tokens", 3)
        chat_.wait_for("> ")
        chat_.type("hello\r")
        chat_.wait_for("hello(.*\n)+.*> ")
        chat_.type("\x04")
        self.assertEqual(chat_.close(), 0)

    def test_ctrl_c_at_the_prompt(self):
        chat_ = self.terminal("--max-new-tokens", 3)
        chat_.wait_for("> ")
        chat_.type("half a line")
        chat_.wait_for("half a line")
        chat_.type("\x03")
        chat_.wait_for("> ")
        chat_.type("\x03")
        chat_.wait_for("Ctrl-C again")
        chat_.wait_for("> ")
        chat_.type("\x03")
        self.assertEqual(chat_.close(), 0)

    def test_a_turn_of_several_lines(self):
        log = self.folder / "log.jsonl"
        chat_ = self.terminal("--max-new-tokens", 3, "--transcript", log)
        chat_.wait_for("> ")
        chat_.type('"""first\r')
        chat_.wait_for(r"\.\.\. ")
        chat_.type('/second\r')
        chat_.wait_for(r"\.\.\. ")
        chat_.type('"""\r')
        chat_.wait_for("\n(.*\n)*.*> ")
        chat_.type("\x04")
        self.assertEqual(chat_.close(), 0)
        self.assertEqual(json.loads(log.read_text().splitlines()[1])["user"], "first\n/second")

    @needs_model
    def test_ctrl_c_stops_the_answer_not_the_program(self):
        log = self.folder / "log.jsonl"
        chat_ = self.terminal("--max-new-tokens", 2000, "--budget", 3000, "--transcript", log, model=MODEL)
        chat_.wait_for("> ")
        chat_.type("Write a very long story about a river and all the villages along it.\r")
        chat_.wait_for("villages along it.*\n.*\\w+ \\w+ \\w+ ")
        chat_.type("\x03")
        chat_.wait_for(r"\(stopped\)")
        chat_.wait_for("> ")
        chat_.type("/stats\r")
        self.assertIn("turns   1", chat_.wait_for("undo .*\n"))
        chat_.wait_for("> ")
        chat_.type("Say yes.\r")
        chat_.wait_for("Say yes.*\n.*\\w+")
        chat_.type("\x03")
        chat_.wait_for("> ")
        chat_.type("\x04")
        self.assertEqual(chat_.close(), 0)
        said = [json.loads(line) for line in log.read_text().splitlines()]
        self.assertEqual(said[1]["stop_reason"], "interrupted")
        self.assertTrue(said[1]["assistant"])

    @needs_model
    def test_ctrl_c_while_a_turn_is_read_takes_it_back(self):
        chat_ = self.terminal("--max-new-tokens", 4, "--budget", 2000, model=MODEL)
        chat_.wait_for("> ")
        chat_.type('"""\r')
        chat_.pour(b"the river rose in the night and the mill was gone in the morning\r" * 600)
        chat_.text = ""
        chat_.type('"""\r')
        chat_.wait_for("reading ")
        chat_.type("\x03")
        self.assertRegex(chat_.wait_for("taken back"), r"interrupted: [1-9]\d* of \d+ tokens of this turn read")
        chat_.wait_for("> ")
        chat_.type("/stats\r")
        self.assertIn("turns   0", chat_.wait_for("undo .*\n"))
        chat_.type("\x04")
        self.assertEqual(chat_.close(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
