"""Resolves every #include "..." below src/ and fails on an edge that the layer list does not have, on cycles, and on
torch/torch.h in a header (it costs every file that includes it seconds).

Usage: layers_test.py [REPOSITORY]
"""
import pathlib
import re
import sys

BELOW = {
    "base": set(),
    "io": {"base"},
    "metrics": {"io", "base"},
    "report": {"io", "base"},
    "model": {"io", "base"},
    "memory": {"model", "io", "base"},
    "train": {"io", "base"},
    "methods": {"memory", "model", "train", "io", "base"},
    "eval": {"methods", "memory", "model", "train", "metrics", "io", "base"},
    "serve": {"methods", "memory", "model", "train", "io", "base"},
    "cli": {"eval", "report", "serve", "methods", "memory", "model", "train", "metrics", "io", "base"},
}
# These know methods by the interface and the registry only.
BY_INTERFACE = {"eval", "serve"}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def layer_of(path):
    """The folder below src/, or "" for src/pch.h."""
    return path.parts[0] if len(path.parts) > 1 else ""


def method_folder(path):
    """methods/window/window.h -> window; methods/registry.cpp and others -> None."""
    return path.parts[1] if path.parts[0] == "methods" and len(path.parts) > 2 else None


def resolve(name, source, root):
    """The path relative to src/, or None when the file is not there. The build looks in src/, and tests in tests/."""
    for folder in (root / "src", (root / "src" / source).parent, root / "tests"):
        found = (folder / name).resolve()
        if found.is_file():
            return found.relative_to(root / "src") if found.is_relative_to(root / "src") else found
    return None


def edge_problem(source, target):
    if source == pathlib.Path(source.name) or isinstance(target, pathlib.Path) and target.is_absolute():
        return None
    src, dst = layer_of(source), layer_of(target)
    if src not in BELOW:
        return f"src/{src} is no layer of the list in tests/layers_test.py"
    if dst and dst != src and dst not in BELOW[src]:
        return f"{src} must not include {dst}"
    is_test = "_test" in source.stem and target.stem.endswith("_test_util")
    if src in BY_INTERFACE and dst == "methods" and target != pathlib.Path("methods/method.h") and not is_test:
        return f"{src} knows methods by methods/method.h only"
    own, other = method_folder(source), method_folder(target)
    if own and other and own != other:
        return f"method {own} must not include method {other}"
    return None


def find_cycle(edges):
    """One cycle as a list of files, or None. Depth first with an explicit stack."""
    done, active = set(), {}
    for start in edges:
        stack = [(start, iter(edges.get(start, ())))]
        while stack:
            node, targets = stack[-1]
            if node in done:
                stack.pop()
                continue
            active[node] = True
            following = next((t for t in targets if t not in done), None)
            if following is None:
                done.add(node)
                active.pop(node)
                stack.pop()
            elif following in active:
                path = [n for n, _ in stack]
                return path[path.index(following):] + [following]
            else:
                stack.append((following, iter(edges.get(following, ()))))
    return None


def check(root):
    problems, edges, count = [], {}, 0
    sources = sorted(p for p in (root / "src").rglob("*") if p.suffix in {".h", ".cpp"})
    for path in sources:
        source = path.relative_to(root / "src")
        for bracket, name in INCLUDE.findall(path.read_text(encoding="utf-8")):
            count += 1
            if name == "torch/torch.h" and path.suffix == ".h":
                problems.append(f"src/{source}: includes torch/torch.h; name the ATen header that is needed")
            if bracket == "<":
                if (root / "src" / name).is_file():
                    problems.append(f"src/{source}: write \"{name}\", not <{name}>")
                continue
            target = resolve(name, source, root)
            if target is None:
                problems.append(f"src/{source}: \"{name}\" is in none of the include folders")
                continue
            if not target.is_absolute():
                edges.setdefault(source, []).append(target)
            problem = edge_problem(source, target)
            if problem:
                problems.append(f"src/{source}: includes \"{name}\": {problem}")
    cycle = find_cycle(edges)
    if cycle:
        problems.append("includes form a cycle: " + " -> ".join(map(str, cycle)))
    return problems, len(sources), count


def self_test():
    """The checker itself must refuse what it is there to refuse."""
    path = pathlib.Path
    assert edge_problem(path("io/a.h"), path("base/b.h")) is None
    assert edge_problem(path("io/a.h"), path("model/b.h"))
    assert edge_problem(path("train/a.h"), path("model/b.h"))
    assert edge_problem(path("eval/a.h"), path("methods/window/window.h"))
    assert edge_problem(path("eval/a.h"), path("methods/method.h")) is None
    assert edge_problem(path("eval/a_test.cpp"), path("methods/b_test_util.h")) is None
    assert edge_problem(path("eval/a.cpp"), path("methods/b_test_util.h"))
    assert edge_problem(path("methods/window/a.h"), path("methods/dense/b.h"))
    assert edge_problem(path("methods/registry.cpp"), path("methods/dense/b.h")) is None
    assert edge_problem(path("nothing/a.h"), path("base/b.h"))
    assert find_cycle({"a": ["b"], "b": ["c"], "c": ["b"]}) == ["b", "c", "b"]
    assert find_cycle({"a": ["b", "c"], "b": ["c"]}) is None


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    self_test()
    problems, files, includes = check(root)
    for problem in problems:
        print(problem)
    print(f"{files} files, {includes} includes, {len(problems)} problems")
    if files == 0:
        print("no sources found: wrong folder?")
    return 1 if problems or files == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
