"""End-to-end tests of `steno chat`: with pipes, and on a terminal of its own.

Usage: chat_test.py STENO [unittest arguments]. Tests that need the default model are skipped aloud without it.
"""
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
STENO = (pathlib.Path(sys.argv.pop(1)) if len(sys.argv) > 1 else ROOT / "build/release/steno").resolve()
MODEL = pathlib.Path(os.environ.get("STENO_MODEL", ROOT / "models/SmolLM2-135M-Instruct.Q4_1.gguf")).resolve()
TINY = ROOT / "tests/data/tiny_models"
needs_model = unittest.skipUnless(MODEL.is_file(), f"the default model is absent ({MODEL}); run 'make model'")
BASE = ("--temperature", 0, "--max-new-tokens", 8, "--method", "streaming-llm")


def chat(*arguments, lines=(), model=TINY / "llama_tied", env=None, **options):
    return subprocess.run([STENO, "chat", "--model", model, *map(str, arguments)],
                          input="".join(line + "\n" for line in lines), capture_output=True, text=True, cwd=ROOT,
                          timeout=600, env={**os.environ, **(env or {})}, **options)


def objects(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


def memory_of(turns):
    """Without the room for the next chunk, which depends on how the memory came about."""
    return [{key: value for key, value in turn["memory"].items() if key != "allocated_bytes"} for turn in turns]


class ChatTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def json_chat(self, *lines, model=TINY / "llama_tied", budget=64, method="streaming-llm", new_tokens=8, more=()):
        result = chat("--temperature", 0, "--max-new-tokens", new_tokens, "--method", method, "--budget", budget, "--json", *more,
                      lines=lines, model=model)
        self.assertEqual(result.returncode, 0, result.stderr)
        return objects(result)


class PipeTest(ChatTest):
    def test_one_turn_per_line_costs_its_own_tokens(self):
        turns = self.json_chat(*["tell me a story"] * 20)
        self.assertEqual([t["turn"] for t in turns], list(range(1, 21)))
        seen = 0
        for turn in turns:
            self.assertEqual(turn["read_tokens"], turn["turn_tokens"])
            now = turn["memory"]["source_tokens"]
            self.assertEqual(now - seen, turn["turn_tokens"] + turn["answer_tokens"] + turn["close_tokens"])
            seen = now
            self.assertLessEqual(turn["memory"]["slots"], 64)
            self.assertEqual(sum(turn["memory"]["slots_by_role"].values()), turn["memory"]["slots"])
        self.assertEqual(len({turn["turn_tokens"] for turn in turns[1:]}), 1)
        self.assertGreater(seen, 5 * 64)

    def test_plain_output_is_the_answers(self):
        as_json = self.json_chat("one", "two")
        result = chat(*BASE, "--budget", 64, "--quiet", lines=["one", "two"])
        self.assertEqual(result.stdout, as_json[0]["text"] + "\n\n" + as_json[1]["text"] + "\n")
        self.assertEqual(result.stderr, "")

    def test_the_last_line_needs_no_line_break(self):
        result = subprocess.run([STENO, "chat", "--model", TINY / "llama_tied", "--json"], input="one\n\ntwo",
                                capture_output=True, text=True, timeout=600)
        self.assertEqual([t["user"] for t in objects(result)], ["one", "two"])

    def test_save_and_load_continue_with_the_same_text(self):
        path = self.folder / "a chat.st"
        together = self.json_chat("one", "two", f"/save {path}", "three", "four")
        self.assertEqual(together[2]["command"], "save")
        for loaded in (self.json_chat("three", "four", more=("--load", path)),
                       self.json_chat("something else", f"/load {path}", "three", "four")[2:]):
            keys = ("turn", "text", "tokens", "read_tokens", "stop_reason")
            self.assertEqual([[t[k] for k in keys] for t in loaded], [[t[k] for k in keys] for t in together[3:]])
            self.assertEqual(memory_of(loaded), memory_of(together[3:]))

    def test_the_saved_file_says_what_it_belongs_to(self):
        path = self.folder / "chat.st"
        self.json_chat("one", f"/save {path}", more=("--system", ""))
        data = path.read_bytes()
        header = json.loads(data[8:8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        self.assertEqual(header["method"], "streaming-llm")
        self.assertEqual(header["param.budget"], "64")
        for name in ("model", "tokenizer", "rope"):
            self.assertRegex(header["identity." + name], "^[0-9a-f]{32}$")
        self.assertEqual(json.loads(header["identity.conversation"])["turns"][0][0], "one")

    def test_other_memories_are_refused(self):
        path = self.folder / "chat.st"
        self.json_chat("one", f"/save {path}")
        retold = self.folder / "retold"
        shutil.copytree(TINY / "llama_tied", retold)
        tokenizer = (retold / "tokenizer.json").read_text()
        (retold / "tokenizer.json").write_text(tokenizer.replace('["i","n"],', ""))
        turned = self.folder / "turned"
        shutil.copytree(TINY / "llama_tied", turned)
        config = (turned / "config.json").read_text()
        self.assertIn('"rope_theta": 10000.0', config)
        (turned / "config.json").write_text(config.replace('"rope_theta": 10000.0', '"rope_theta": 5000.0'))
        cases = (("method is", dict(method="window")), ("param.budget", dict(budget=65)),
                 ("another model", dict(model=TINY / "llama_untied")), ("another tokenizer", dict(model=retold)),
                 ("another rope", dict(model=turned)), ("param.sinks", dict(more=("--param", "sinks=3"))),
                 ("expected Float", dict(more=("--dtype", "f32"))), ("chat format", dict(more=("--chat-format", "chatml"))))
        for reason, other in cases:
            with self.subTest(reason=reason):
                said = self.json_chat("before", f"/load {path}", "after", **other)
                self.assertIn(reason, said[1]["error"])
                self.assertIn(str(path), said[1]["error"])
                self.assertEqual(said[2:], [{**said[2], "turn": 2}])
                untouched = self.json_chat("before", "after", **other)
                self.assertEqual(said[2]["tokens"], untouched[1]["tokens"])
                settings = {"method": "streaming-llm", "budget": 64, "model": TINY / "llama_tied", "more": (), **other}
                result = chat("--method", settings["method"], "--budget", settings["budget"], *settings["more"],
                              "--load", path, model=settings["model"], lines=["x"])
                self.assertEqual(result.returncode, 3, result.stderr)
                self.assertEqual(result.stdout, "")
                self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)
                self.assertIn(reason, result.stderr)

    def test_broken_files_are_refused(self):
        path = self.folder / "chat.st"
        self.json_chat("one", f"/save {path}")
        data = path.read_bytes()
        flipped = bytearray(data)
        flipped[-100] ^= 4
        for name, content in (("cut", data[:-1]), ("half", data[:len(data) // 2]), ("empty", b""), ("flipped", flipped),
                              ("other", b"no memory at all")):
            broken = self.folder / name
            broken.write_bytes(content)
            with self.subTest(name=name):
                said = self.json_chat(f"/load {broken}", "go on")
                self.assertIn(str(broken), said[0]["error"])
                self.assertEqual(said[1]["turn"], 1)
                self.assertEqual(chat(*BASE, "--budget", 64, "--load", broken).returncode, 3)
        self.assertEqual(chat(*BASE, "--budget", 64, "--load", self.folder / "absent").returncode, 3)

    def test_undo_is_as_if_it_had_never_been(self):
        with_turn = self.json_chat("one", "two", "a regret", "/undo", "three")
        without = self.json_chat("one", "two", "three")
        self.assertEqual(with_turn[3], {"command": "undo", "turns": 2})
        keys = ("turn", "text", "tokens")
        self.assertEqual([with_turn[4][k] for k in keys], [without[2][k] for k in keys])
        self.assertEqual(memory_of(with_turn[4:]), memory_of(without[2:]))
        none = self.json_chat("/undo", "one", "/undo", "/undo")
        self.assertIn("error", none[0])
        self.assertEqual(none[2]["turns"], 0)
        self.assertIn("error", none[3])

    def test_reset_is_a_new_conversation(self):
        said = self.json_chat("one", "two", "/reset", "one")
        self.assertEqual(said[3]["tokens"], said[0]["tokens"])
        self.assertEqual(said[3]["turn"], 1)

    def test_stats(self):
        said = self.json_chat(*["a few words"] * 12, "/stats")
        stats = said[-1]["stats"]
        self.assertEqual(stats["turns"], 12)
        self.assertEqual(stats["last_turn"]["read_tokens"], said[11]["turn_tokens"])
        self.assertEqual(stats["memory"]["slots_by_role"]["start"], 4)
        self.assertEqual(stats["memory"]["oldest_kept"], 0)
        self.assertEqual(len(stats["memory"]["dropped_ranges"]), 1)
        self.assertGreater(stats["undo"]["bytes"], 0)
        shown = chat(*BASE, "--budget", 64, lines=["one", "two", "/stats"]).stderr
        for part in ("turns   2", "nothing before it again", "roles   recent", "start 4", "oldest  position 0", "undo    2 turns"):
            self.assertIn(part, shown)

    def test_wrong_commands_are_one_line_and_the_chat_goes_on(self):
        result = chat(*BASE, "--quiet", lines=["/sats", "/save", "/quitt", "//not a command"])
        lines = result.stderr.splitlines()
        self.assertEqual(len(lines), 3, result.stderr)
        self.assertIn("did you mean /stats?", lines[0])
        self.assertIn("/save FILE", lines[1])
        self.assertIn("did you mean /quit?", lines[2])
        self.assertTrue(result.stdout)
        self.assertEqual(result.returncode, 0)

    def test_help_and_quit(self):
        result = chat(*BASE, lines=["/help", "/quit", "never said"])
        for command in ("/stats", "/save FILE", "/load FILE", "/undo", "/reset", "/quit"):
            self.assertIn(command, result.stderr)
        self.assertEqual((result.returncode, result.stdout), (0, ""))

    def test_verbose_tells_what_a_turn_cost(self):
        result = chat(*BASE, "--budget", 64, "--verbose", lines=["one", "two"])
        found = re.findall(r"turn (\d): read (\d+) tokens? \(this turn's (\d+), nothing before it again\)", result.stderr)
        self.assertEqual([f[0] for f in found], ["1", "2"])
        self.assertTrue(all(f[1] == f[2] for f in found))

    def test_a_turn_longer_than_the_memory_says_so(self):
        said = self.json_chat("short", "a b c d " * 60)
        self.assertGreater(said[1]["unread_tokens"], 0)
        result = chat(*BASE, "--budget", 64, lines=["short", "a b c d " * 60])
        self.assertIn("longer than the memory", result.stderr)

    def test_max_new_tokens_that_fill_the_memory_are_warned_of(self):
        result = chat("--method", "streaming-llm", "--budget", 40, "--max-new-tokens", 40, "--temperature", 0,
                      lines=["one", "two", "three"])
        self.assertEqual(result.stderr.count("fill the whole memory"), 1, result.stderr)

    def test_text_that_is_no_utf8(self):
        result = subprocess.run([STENO, "chat", "--model", TINY / "llama_tied", "--quiet", *map(str, BASE)],
                                input=b"a\xff\nb\n", capture_output=True, timeout=600)
        self.assertEqual(result.returncode, 0)
        self.assertIn(b"invalid byte at offset 1", result.stderr)
        self.assertTrue(result.stdout)

    def test_wrong_flags(self):
        for arguments, code, part in ((("--undo", 0), 2, "--undo"), (("--budget", 0), 2, "--budget"),
                                      (("--lod", "x"), 2, "did you mean --load?"), (("x",), 2, "unexpected argument"),
                                      (("--transcript", "/no/such/folder/t"), 3, "--transcript"),
                                      (("--method", "streming-llm"), 2, "streaming-llm"),
                                      (("--chat-format", "llama-9"), 2, "chat format")):
            with self.subTest(arguments=arguments):
                result = chat(*arguments)
                self.assertEqual(result.returncode, code, result.stderr)
                self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)
                self.assertIn(part, result.stderr)

    def test_transcript(self):
        path = self.folder / "said.jsonl"
        for word in ("one", "two"):
            chat(*BASE, "--transcript", path, lines=[word, "/undo", "/reset"])
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        self.assertEqual([line.get("event", line.get("user")) for line in lines],
                         ["start", "one", "undo", "reset", "start", "two", "undo", "reset"])
        self.assertEqual(set(lines[1]), {"turn", "user", "assistant", "stop_reason", "read_tokens", "answer_tokens"})

    def test_full_disk(self):
        result = chat(*BASE, "--transcript", "/dev/full", "--quiet", lines=["one", "two", "three"])
        self.assertEqual(result.returncode, 0)
        self.assertEqual(result.stderr.count("No space left"), 1, result.stderr)
        self.assertIn("4 lines could not be written", result.stderr)
        self.assertEqual(len(result.stdout.split("\n\n")), 3)
        # Standard output is another matter: nobody would read the answers.
        with open("/dev/full", "w") as full:
            status = subprocess.run([STENO, "chat", "--model", TINY / "llama_tied", *map(str, BASE)], input="one\n",
                                    stdout=full, stderr=subprocess.PIPE, text=True, timeout=600)
        self.assertEqual(status.returncode, 4, status.stderr)

    def test_a_save_that_fails_leaves_the_old_file(self):
        path = self.folder / "chat.st"
        self.json_chat("one", f"/save {path}")
        before = path.read_bytes()
        for place in (self.folder / "no/such/folder", self.folder):
            said = self.json_chat("one", f"/save {place}", "two")
            self.assertIn(str(place), said[1]["error"])
            self.assertEqual(said[2]["turn"], 2)
        # A file may not grow beyond 1 KiB: the disk is full.
        limited = subprocess.run(["bash", "-c", 'ulimit -f 1; exec "$0" "$@"', STENO, "chat", "--model", TINY / "llama_tied",
                                  "--method", "streaming-llm", "--budget", "64", "--json"],
                                 input=f"two\n/save {path}\nthree\n", capture_output=True, text=True, timeout=600)
        said = objects(limited)
        self.assertIn("error", said[1], limited.stderr)
        self.assertEqual(said[2]["turn"], 2)
        self.assertEqual(path.read_bytes(), before)

    def test_ctrl_c_while_waiting_ends_a_script(self):
        child = subprocess.Popen([STENO, "chat", "--model", TINY / "llama_tied", "--json", *map(str, BASE)],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        child.stdin.write(b"one\n")
        child.stdin.flush()
        child.stdout.readline()
        time.sleep(0.3)
        child.send_signal(signal.SIGINT)
        child.wait(timeout=60)  # with its input still open
        _, errors = child.communicate()
        self.assertEqual(child.returncode, 130)
        self.assertIn(b"interrupted after 1 turn", errors)


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


@needs_model
class DefaultModelTest(ChatTest):
    def test_a_conversation_with_a_system_message(self):
        said = self.json_chat("What is the capital of France?", "And of Italy?", model=MODEL, budget=512,
                              new_tokens=32, more=("--system", "You answer in one short sentence."))
        self.assertIn("Paris", said[0]["text"])
        self.assertEqual(said[0]["stop_reason"], "end_of_turn")
        self.assertLess(said[1]["turn_tokens"], 20)
        self.assertEqual(said[1]["close_tokens"], 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
