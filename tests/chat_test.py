"""End-to-end tests of `steno chat` with pipes.

Usage: chat_test.py STENO [unittest arguments]. Tests that need the default model are skipped aloud without it.
"""
import json
import re
import shutil
import signal
import subprocess
import time
import unittest

from chat_test_util import ChatTest, chat, objects
from program_test_util import MODEL, STENO, TINY, needs_model

BASE = ("--temperature", 0, "--max-new-tokens", 8, "--method", "streaming-llm")


def memory_of(turns):
    """Without the room for the next chunk, which depends on how the memory came about."""
    return [{key: value for key, value in turn["memory"].items() if key != "allocated_bytes"} for turn in turns]


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
