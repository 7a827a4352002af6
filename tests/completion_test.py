"""The completion files must know every verb and flag that the program has, offer nothing that it has not, and parse.

Usage: completion_test.py STENO
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
STENO = pathlib.Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else ROOT / "build/release/steno"
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


def run(*arguments):
    return subprocess.run([STENO, *arguments], capture_output=True, text=True, check=True).stdout


def verbs():
    section = run("--help").split("Verbs:")[1]
    return re.findall(r"^  ([a-z]+) ", section, re.MULTILINE)


def flags(verb):
    """Flags that begin a line of the help; those named inside a sentence do not count."""
    return {f for line in run(verb, "--help").splitlines() if re.match(r"\s{1,4}(-|prompt-file)", line)
            for f in FLAG.findall(line.strip().split("  ")[0])}


def complete(*words):
    """What bash offers after `steno WORDS`, the last word being the one under the cursor."""
    script = ('source "$0"; steno_path=$1; shift; COMP_WORDS=("$steno_path" "$@"); '
              'COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 )); _steno; printf "%s\\n" "${COMPREPLY[@]}"')
    result = subprocess.run(["bash", "-c", script, str(ROOT / "completions/steno.bash"), str(STENO), *words],
                            capture_output=True, text=True, check=True, cwd=ROOT)
    return set(result.stdout.split())


class CompletionTest(unittest.TestCase):
    def test_help_was_understood(self):
        self.assertEqual(set(verbs()), {"generate", "ask", "chat", "compress", "memory", "reconstruct", "train", "eval", "report", "tokenize", "inspect", "methods"})
        self.assertIn("--question", flags("ask"))
        self.assertIn("--prompt-file", flags("generate"))

    def test_bash_offers_exactly_the_flags(self):
        for verb in verbs():
            with self.subTest(verb=verb):
                self.assertEqual(complete(verb, "--"), flags(verb))

    def test_zsh_file_names_every_flag_and_no_other(self):
        text = (ROOT / "completions/_steno").read_text()
        known = set().union(*(flags(verb) for verb in verbs())) | {"--version"}
        self.assertEqual({f for f in FLAG.findall(text) if f not in ("--names",)} | {"--names"}, known | {"--names"})
        self.assertIn("--names", flags("methods"))
        for verb in verbs():
            self.assertIn(f"'{verb}:", text)

    def test_zsh_gives_each_verb_its_own_flags(self):
        text = (ROOT / "completions/_steno").read_text()
        groups = {name: set(FLAG.findall(re.search(rf"^  {name}=\((.*?)^  \)", text, re.M | re.S)[1]))
                  for name in ("common", "memory", "answers", "reading", "files")}
        for verb in verbs():
            branch = re.search(rf"^        {verb}\)(.*?);;", text, re.M | re.S)[1]
            offered = set(FLAG.findall(branch)).union(*(v for k, v in groups.items() if f"${k}" in branch))
            with self.subTest(verb=verb):
                self.assertEqual(offered, flags(verb))

    def test_bash_offers_verbs_methods_and_files(self):
        self.assertEqual(complete("to"), {"tokenize"})
        methods = {m["name"] for m in json.loads(run("methods", "--json"))["methods"]}
        self.assertEqual(complete("ask", "--method", ""), methods)
        tasks = {t["name"] for t in json.loads(run("eval", "--list", "--json"))["tasks"]}
        self.assertEqual(complete("eval", ""), tasks)
        self.assertEqual(complete("ask", "READ"), {"README.md"})
        self.assertEqual(complete("ask", "--budget", ""), set())

    def test_files_parse(self):
        subprocess.run(["bash", "-n", ROOT / "completions/steno.bash"], check=True)
        if not shutil.which("zsh"):
            self.skipTest("zsh is not installed: completions/_steno was compared with --help, but not parsed")
        subprocess.run(["zsh", "-n", ROOT / "completions/_steno"], check=True)


if __name__ == "__main__":
    unittest.main(verbosity=2)
