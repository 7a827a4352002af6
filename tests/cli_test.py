"""End-to-end tests of the program: what it answers, and how it ends when it is stopped or cannot write.

Usage: cli_test.py STENO [unittest arguments]. They need the default model and are skipped aloud without it.
"""
import contextlib
import json
import os
import pathlib
import pty
import re
import resource
import select
import signal
import subprocess
import time
import unittest

from program_test_util import LICENCE, MODEL, ROOT, STENO, TINY, CliTest, needs_model, steno

ACCOUNTING = {"source_tokens", "slots", "dropped_tokens", "memory_bytes", "ratio", "read_s", "read_tokens_per_s",
              "first_token_s", "decode_tokens_per_s", "peak_rss_bytes"}


@needs_model
class GenerateTest(CliTest):
    def generate(self, *arguments, **options):
        return steno("generate", "--model", MODEL, *arguments, **options)

    def test_prompt_file_and_standard_input_are_the_same(self):
        prompt = "The capital of France is"
        arguments = ("--max-new-tokens", "8", "--json")
        wanted = json.loads(self.generate("--prompt", prompt, *arguments).stdout)
        self.assertEqual(wanted["prompt_tokens"], 5)
        self.assertEqual(len(wanted["tokens"]), 8)
        self.assertLessEqual(ACCOUNTING, wanted["accounting"].keys())
        self.assertEqual(wanted["accounting"]["dropped_tokens"], 0)
        path = self.file("prompt.txt", prompt)
        for way in (("--prompt-file", path), (path,), ("-",), ("--prompt-file", "-")):
            with self.subTest(way=way):
                found = json.loads(self.generate(*way, *arguments, stdin=prompt).stdout)
                self.assertEqual(found["tokens"], wanted["tokens"])

    def test_text_streams_what_the_json_has(self):
        prompt = ("--prompt", "Once upon a time", "--max-new-tokens", "12")
        text = json.loads(self.generate(*prompt, "--json").stdout)["text"]
        self.assertEqual(self.generate(*prompt, "--quiet").stdout, text + "\n")
        self.assertEqual(self.generate(*prompt, "--quiet").stderr, "")
        self.assertEqual(self.generate(*prompt, "--quiet", "--echo").stdout, "Once upon a time" + text + "\n")
        self.assertIn("tokens/s", self.generate(*prompt).stderr)

    def test_seed_decides(self):
        draw = lambda seed: json.loads(self.generate("--prompt", "My", "--temperature", "1.5", "--seed", seed,
                                                     "--max-new-tokens", "12", "--json").stdout)["tokens"]
        self.assertEqual(draw(1), draw(1))
        self.assertNotEqual(draw(1), draw(2))

    def test_stop_text(self):
        arguments = ("--prompt", "1, 2, 3, 4,", "--max-new-tokens", "24", "--json")
        free = json.loads(self.generate(*arguments).stdout)
        self.assertIn("9", free["text"])
        stopped = json.loads(self.generate(*arguments, "--stop", "9").stdout)
        self.assertEqual(stopped["stop_reason"], "stop_text")
        self.assertEqual(stopped["text"], free["text"].split("9")[0])

    def test_chat_and_system(self):
        arguments = ("--prompt", "What is two plus two?", "--max-new-tokens", "20", "--json")
        plain = json.loads(self.generate(*arguments).stdout)
        chat = json.loads(self.generate(*arguments, "--chat").stdout)
        system = json.loads(self.generate(*arguments, "--chat", "--system", "You speak only French.").stdout)
        self.assertGreater(chat["prompt_tokens"], plain["prompt_tokens"])
        self.assertNotEqual(chat["prompt_tokens"], system["prompt_tokens"])
        self.assertNotIn("<|im_end|>", chat["text"])
        same = json.loads(self.generate(*arguments, "--chat", "--chat-format", "smollm").stdout)
        self.assertEqual(same["tokens"], chat["tokens"])
        self.assertFails(self.generate("--prompt", "a", "--chat", "--chat-format", "klingon"), 2, "chatml")

    def test_logprobs(self):
        found = json.loads(self.generate("--prompt", "The capital of France is", "--max-new-tokens", "4", "--json",
                                         "--echo", "--logprobs", "3").stdout)
        probs = found["logprobs"]
        length = found["prompt_tokens"] + 4
        for key in ("tokens", "token_ids", "token_logprobs", "top_logprobs", "text_offset"):
            self.assertEqual(len(probs[key]), length, key)
        self.assertEqual("".join(probs["tokens"]), found["text"])
        self.assertEqual(probs["token_ids"][-4:], found["tokens"])
        self.assertIsNone(probs["token_logprobs"][0])
        for at in range(1, length):
            best = probs["top_logprobs"][at]
            self.assertEqual(len(best), 3)
            self.assertEqual(best, sorted(best, key=lambda one: -one["logprob"]))
            self.assertLessEqual(probs["token_logprobs"][at], best[0]["logprob"] + 1e-6)
            self.assertEqual(found["text"][probs["text_offset"][at]:][:len(probs["tokens"][at])], probs["tokens"][at])
        for at in range(length - 4, length):  # greedy
            self.assertEqual(probs["top_logprobs"][at][0]["id"], probs["token_ids"][at])

    def test_scoring_a_prompt_without_continuing_it(self):
        found = json.loads(self.generate("--prompt", "a b c", "--max-new-tokens", "0", "--json", "--echo", "--logprobs",
                                         "0").stdout)
        self.assertEqual(found["tokens"], [])
        self.assertEqual(len(found["logprobs"]["tokens"]), found["prompt_tokens"])
        self.assertEqual(found["logprobs"]["top_logprobs"][1], [])

    def test_config_file_and_command_line(self):
        config = self.file("steno.toml", "seed = 3\n[generate]\nmax-new-tokens = 3\njson = true\n")
        found = json.loads(self.generate("--prompt", "a", "--config", config).stdout)
        self.assertEqual(len(found["tokens"]), 3)
        found = json.loads(self.generate("--prompt", "a", "--config", config, "--max-new-tokens", "2").stdout)
        self.assertEqual(len(found["tokens"]), 2)

    def test_memory_of_generate_is_bounded(self):
        found = json.loads(self.generate("--prompt-file", LICENCE, "--method", "window", "--budget", "64",
                                         "--max-new-tokens", "4", "--json").stdout)
        self.assertEqual(found["accounting"]["slots"], 64)
        self.assertGreater(found["prompt_tokens"], 2000)


@needs_model
class AskTest(CliTest):
    QUESTION = ("--question", "What is this text about?")

    def ask(self, *arguments, **options):
        return steno("ask", "--model", MODEL, *arguments, **options)

    def ask_json(self, *arguments, **options):
        result = self.ask(*arguments, "--json", **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(len(result.stdout.splitlines()), 1)
        return json.loads(result.stdout)

    def test_json(self):
        found = self.ask_json(LICENCE, *self.QUESTION, "--question", "Who wrote it?", "--method", "streaming-llm",
                              "--budget", "128", "--max-new-tokens", "8")
        self.assertEqual(list(found), ["model", "method", "budget", "answers", "accounting"])
        self.assertEqual((found["method"], found["budget"]), ("streaming-llm", 128))
        self.assertEqual([a["question"] for a in found["answers"]], ["What is this text about?", "Who wrote it?"])
        for answer in found["answers"]:
            self.assertLessEqual({"question", "text", "tokens"}, answer.keys())
        accounting = found["accounting"]
        self.assertLessEqual(ACCOUNTING, accounting.keys())
        self.assertEqual(accounting["slots"], 128)
        self.assertEqual(accounting["dropped_tokens"], accounting["source_tokens"] - 128)
        self.assertEqual(sum(last - first + 1 for first, last in accounting["dropped_ranges"]),
                         accounting["dropped_tokens"])
        self.assertGreater(accounting["memory_bytes"], 0)

    def test_questions_do_not_disturb_each_other(self):
        """Answered one by one from a fresh reading, or together from one memory: the same tokens."""
        document = self.file("short.txt", LICENCE.read_text()[:3000])
        arguments = (document, "--method", "streaming-llm", "--budget", "200", "--max-new-tokens", "12")
        questions = ["What may I do?", "Who is the licensor?", "What is a contribution?"]
        together = self.ask_json(*arguments, *(part for q in questions for part in ("--question", q)))
        for question, answer in zip(questions, together["answers"]):
            alone = self.ask_json(*arguments, "--question", question)["answers"][0]
            self.assertEqual(alone["tokens"], answer["tokens"], question)

    def test_budget_above_the_document_is_dense(self):
        document = self.file("short.txt", LICENCE.read_text()[:2000])
        arguments = (document, *self.QUESTION, "--max-new-tokens", "24")
        dense = self.ask_json(*arguments, "--method", "dense")
        self.assertEqual(dense["accounting"]["dropped_tokens"], 0)
        for method in ("window", "streaming-llm"):
            found = self.ask_json(*arguments, "--method", method, "--budget", "100000")
            self.assertEqual(found["accounting"]["dropped_tokens"], 0)
            self.assertEqual(found["answers"][0]["tokens"], dense["answers"][0]["tokens"], method)

    def test_dropped_tokens_are_said_in_words(self):
        result = self.ask(LICENCE, *self.QUESTION, "--method", "window", "--budget", "64", "--max-new-tokens", "4")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stderr, r"kept 64 of [\d,]+ tokens; dropped tokens 0\.\.\d+")
        self.assertNotIn("\r", result.stderr, "no progress bar where standard error is no terminal")

    def test_documents_from_everywhere(self):
        text = "The password of the lighthouse is heron.\n"
        a = self.file("a.txt", text)
        self.file("b.txt", "Nothing here.\n")
        arguments = (*self.QUESTION, "--max-new-tokens", "2")
        one = self.ask_json(a, *arguments)["accounting"]["source_tokens"]
        self.assertEqual(self.ask_json("-", *arguments, stdin=text)["accounting"]["source_tokens"], one)
        two = self.ask_json(self.folder / "*.txt", *arguments)["accounting"]["source_tokens"]
        self.assertGreater(two, one)
        self.assertEqual(self.ask_json(a, self.folder / "b.txt", *arguments)["accounting"]["source_tokens"], two)

    def test_special_tokens_in_a_document_are_text(self):
        plain = self.file("plain.txt", "one two")
        special = self.file("special.txt", "one<|im_end|> two")
        arguments = (*self.QUESTION, "--max-new-tokens", "1")
        difference = (self.ask_json(special, *arguments)["accounting"]["source_tokens"]
                      - self.ask_json(plain, *arguments)["accounting"]["source_tokens"])
        self.assertGreater(difference, 3, "as a special token it would be one")

    def test_several_questions_are_marked_in_the_text(self):
        result = self.ask(LICENCE, *self.QUESTION, "--question", "Why?", "--method", "window", "--budget", "64",
                          "--max-new-tokens", "4", "--quiet")
        self.assertRegex(result.stdout, r"(?s)^Q: What is this text about\?\nA: .*\n\nQ: Why\?\nA: ")
        self.assertEqual(result.stderr, "")

    def test_unknown_parameter_of_a_method(self):
        self.assertFails(self.ask(LICENCE, *self.QUESTION, "--method", "streaming-llm", "--budget", "64", "--param",
                                  "sink=4"), 2, "sink", "sinks")

    def test_dense_beyond_the_trained_positions_warns(self):
        config = json.loads((TINY / "llama_tied" / "config.json").read_text())
        document = self.file("long.txt", "word " * (config["max_position_embeddings"] + 10))
        arguments = ("ask", document, *self.QUESTION, "--model", TINY / "llama_tied", "--chat-format", "plain",
                     "--max-new-tokens", "1")
        self.assertIn("trained on", steno(*arguments).stderr)
        self.assertNotIn("trained on", steno(*arguments, "--method", "window", "--budget", "32").stderr)


@needs_model
class SignalsAndStreamsTest(CliTest):
    def start(self, *arguments, **options):
        return subprocess.Popen([STENO, *map(str, arguments), "--model", MODEL], cwd=ROOT, **options)

    def test_interrupt_while_reading(self):
        document = self.file("long.txt", LICENCE.read_text() * 40)
        # A pseudo-terminal as standard error: its progress bar tells that the reading has begun.
        master, slave = pty.openpty()
        process = self.start("ask", document, "--question", "Q", "--method", "window", "--budget", "256",
                             stdout=subprocess.PIPE, stderr=slave)
        os.close(slave)
        seen = self.read_until(master, b"left", 300)
        process.send_signal(signal.SIGINT)
        seen += self.read_until(master, b"answered", 60)
        out, _ = process.communicate(timeout=60)
        os.close(master)
        self.assertEqual(process.returncode, 130, seen)
        self.assertEqual(out, b"")
        self.assertRegex(seen.decode(), r"steno: interrupted: [\d,]+ of [\d,]+ tokens read \(\d+%\), nothing answered")
        self.assertRegex(seen.decode(), r"reading \[#*\.*\] \d+% [\d,]+/[\d,]+, [\d,]+ tokens/s, .* left")

    def read_until(self, fd, wanted, seconds):
        seen, end = b"", time.monotonic() + seconds
        while wanted not in seen and time.monotonic() < end:
            if select.select([fd], [], [], 0.2)[0]:
                with contextlib.suppress(OSError):  # the other end is closed
                    data = os.read(fd, 4096)
                    seen += data
                    if data:
                        continue
                break
        return seen

    def test_interrupt_while_answering(self):
        process = self.start("generate", "--prompt", "Once upon a time", "--max-new-tokens", "100000", "--method",
                             "window", "--budget", "256", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        begun = process.stdout.read(20)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, err)
        self.assertEqual(len(begun), 20)
        self.assertRegex(err.decode(), r"interrupted: \d+ tokens read, \d+ tokens written")

    def test_reader_that_goes_away(self):
        process = self.start("generate", "--prompt", "Once upon a time", "--max-new-tokens", "100000", "--method",
                             "window", "--budget", "256", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.read(10)
        process.stdout.close()
        # It stops, instead of writing 100,000 tokens to nobody.
        self.assertEqual(process.wait(timeout=120), 0)
        self.assertEqual(process.stderr.read(), b"")
        process.stderr.close()

    def test_full_disk(self):
        for arguments in (("generate", "--prompt", "a", "--max-new-tokens", "4"),
                          ("ask", LICENCE, "--question", "Q", "--method", "window", "--budget", "64", "--json"),
                          ("tokenize", LICENCE), ("inspect", MODEL), ("methods",)):
            with self.subTest(verb=arguments[0]), open("/dev/full", "wb") as full:
                process = self.start(*arguments, stdout=full, stderr=subprocess.PIPE)
                _, err = process.communicate(timeout=120)
                self.assertEqual(process.returncode, 4, err)
                self.assertIn(b"No space left", err)

    def test_closed_standard_output(self):
        process = self.start("tokenize", LICENCE, stderr=subprocess.PIPE, preexec_fn=lambda: os.close(1))
        _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 4, err)
        self.assertIn(b"standard output", err)

    def test_out_of_memory_is_one_line(self):
        text = LICENCE.read_bytes() * 20
        process = self.start("ask", "-", "--question", "Q", "--chunk", "1000000", "--quiet", stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        # A pipe holds 64 KiB: after this write the libraries are loaded and standard input is being read.
        process.stdin.write(text[:150000])
        process.stdin.flush()
        size = int(re.search(r"VmSize:\s*(\d+) kB", pathlib.Path(f"/proc/{process.pid}/status").read_text())[1]) * 1024
        limit = size + (500 << 20)  # enough for the model, too little for 44,000 tokens in one chunk
        resource.prlimit(process.pid, resource.RLIMIT_AS, (limit, limit))
        out, err = process.communicate(text[150000:], timeout=300)
        self.assertEqual(process.returncode, 4, err)
        self.assertEqual(out, b"")
        self.assertEqual(len(err.splitlines()), 1, err)
        self.assertIn(b"out of memory", err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
