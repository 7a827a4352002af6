"""What the end-to-end tests of `steno chat` share."""
import json
import os
import subprocess

from program_test_util import ROOT, STENO, TINY, FolderTest


def chat(*arguments, lines=(), model=TINY / "llama_tied", env=None, **options):
    return subprocess.run([STENO, "chat", "--model", model, *map(str, arguments)],
                          input="".join(line + "\n" for line in lines), capture_output=True, text=True, cwd=ROOT,
                          timeout=600, env={**os.environ, **(env or {})}, **options)


def objects(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


class ChatTest(FolderTest):
    def json_chat(self, *lines, model=TINY / "llama_tied", budget=64, method="streaming-llm", new_tokens=8, more=()):
        result = chat("--temperature", 0, "--max-new-tokens", new_tokens, "--method", method, "--budget", budget, "--json", *more,
                      lines=lines, model=model)
        self.assertEqual(result.returncode, 0, result.stderr)
        return objects(result)
