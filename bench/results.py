"""`make results`: every method at every budget on the default model, as one table.

    bench/results.py [--scale small|full] [--threads N] [--only NAME,NAME] [--out build/results]

Runs `steno eval` once per row below (a run that was stopped goes on where it was), then `steno report`, and writes
table.md beside the results. `small` is what docs/measurements.md shows; `full` takes many hours. Needs STENO_DATA.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STENO = Path(os.environ.get("STENO_PROGRAM", ROOT / "build" / "release" / "steno"))
METHODS = "window,streaming-llm,bigbird,h2o,snapkv,tova,fifo,lra,lfa,recompute,retrieval"
BUDGETS = "256,512,1024,2048"

# name: task, then the flags of each scale. Perplexity is read in chunks of 64: rules that evict by attention cut after a
# chunk, so a token reads up to the budget and the chunk, which would flatter them at small budgets.
RUNS = {
    "ppl-books": ("ppl", {
        "small": ["--limit", "2", "--spread", "--length", "4096", "--chunk", "64"],
        "full": ["--length", "32768"]}),
    "ppl-dialogue": ("ppl", {
        "small": ["--data", "{data}/dialogue.valid.jsonl.zst", "--limit", "3", "--spread", "--length", "2048", "--chunk", "64"],
        "full": ["--data", "{data}/dialogue.valid.jsonl.zst", "--limit", "300", "--spread", "--length", "0"]}),
    "passkey": ("passkey", {
        "small": ["--length", "4096", "--depth", "25,50", "--set", "trials=1"],
        "full": ["--length", "4096", "--set", "trials=20"]}),
    "needle": ("needle", {
        "small": ["--length", "4096", "--depth", "25,50", "--set", "trials=1"],
        "full": ["--length", "4096", "--set", "trials=10"]}),
    "qa": ("qa", {
        "small": ["--limit", "10", "--spread"],
        "full": ["--limit", "500", "--spread"]}),
    "longqa": ("longqa", {
        "small": ["--data", "{out}/longqa_small.jsonl"],
        "full": []}),
    "passkey-long": ("passkey", {
        "small": ["--length", "8192,16384,32768", "--depth", "50", "--set", "trials=1"],
        "full": ["--length", "8192,16384,32768", "--set", "trials=10"]}),
    "needle-long": ("needle", {
        "small": ["--length", "8192,16384,32768", "--depth", "50", "--set", "trials=1"],
        "full": ["--length", "8192,16384,32768", "--set", "trials=10"]}),
}
# The two that read again cost 16 to 32 times the text where every token is scored: runs of their own, in the same columns.
for name in ["ppl-books", "ppl-dialogue"]:
    RUNS[name + "-reread"] = RUNS[name]
REREAD = "recompute,retrieval"
SHOWN = {"ppl": "ppl", "passkey": "correct", "needle": "correct", "qa": "f1", "longqa": "f1"}


def run(name, scale, threads, out):
    task, flags = RUNS[name]
    methods = "dense," + METHODS
    if task == "ppl":
        methods = REREAD if name.endswith("-reread") else methods.replace("," + REREAD, "")
    command = [STENO, "eval", task, "--method", methods, "--budget", BUDGETS, "--threads", threads, "--out", out / name]
    if name.endswith("-long") and scale == "small":
        command.append("--no-controls")
    command += [part.format(data=os.environ["STENO_DATA"], out=out) for part in flags[scale]]
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)


def one_story(out):
    """The first long context of at least 1,000 words with at most 15 questions: a minute per arm is enough here."""
    packed = Path(os.environ["STENO_DATA"]) / "longqa.valid.jsonl.zst"
    for line in subprocess.run(["zstd", "-dc", packed], capture_output=True, check=True).stdout.splitlines():
        record = json.loads(line)
        if len(record["qas"]) <= 15 and len(record["context"].split()) >= 1000:
            (out / "longqa_small.jsonl").write_bytes(line + b"\n")
            return


def figure(metric):
    if not metric:
        return "–"
    mean, low, high = metric["mean"], metric.get("low"), metric.get("high")
    digits = 1 if mean >= 10 else 2
    if metric["interval"] == "none" or low is None:
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def table(out):
    names = [name for name in RUNS if (out / name / "summary.json").exists()]
    columns = [name for name in names if not name.endswith("-reread")]
    rows, counts = {}, {}
    for name in names:
        summary = json.loads((out / name / "summary.json").read_text())
        for arm in summary["arms"]:
            metrics = arm["metrics"]
            cells = rows.setdefault(arm["id"], {})
            metric = SHOWN[RUNS[name][0]]
            cells[name.removesuffix("-reread")] = figure(metrics.get(metric))
            counts.setdefault(name, arm["n"])
            if name.endswith("-long"):
                # One answer a length: right or wrong, by length.
                cells[name] = " / ".join(f"{cell['metrics'][metric]['mean']:.0f}" if cell["n"] == 1 else
                                         f"{cell['metrics'][metric]['mean']:.2f}"
                                         for cell in sorted(arm["cells"], key=lambda cell: cell["cell"]["length"]))
            if name == "passkey":
                cells["bytes"] = f"{arm['bytes'] / 1e6:.1f}" if arm.get("bytes") else "–"
    heads = [f"{name.replace('-long', '')} at 8K / 16K / 32K" if name.endswith("-long")
             else f"{name} {SHOWN[RUNS[name][0]]} (n = {counts[name]})" for name in columns] + ["MB"]
    lines = ["| arm | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
    for arm, cells in rows.items():
        lines.append(f"| {arm} | " + " | ".join(cells.get(name, "–") for name in [*columns, "bytes"]) + " |")
    text = "\n".join(lines) + "\n"
    (out / "table.md").write_text(text)
    print(text)
    subprocess.run([str(STENO), "report", *(str(out / name) for name in names), "-o", str(out / "report.html")], check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=["small", "full"], default="small")
    parser.add_argument("--threads", default="2")
    parser.add_argument("--only", default=",".join(RUNS))
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "results")
    arguments = parser.parse_args()
    if "STENO_DATA" not in os.environ:
        sys.exit("make results: STENO_DATA is not set; it names the folder of evaluation data (docs/data_formats.md)")
    arguments.out.mkdir(parents=True, exist_ok=True)
    one_story(arguments.out)
    for name in arguments.only.split(","):
        run(name, arguments.scale, arguments.threads, arguments.out)
    table(arguments.out)
