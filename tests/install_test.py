"""`cmake --install` puts the program and its completion files under a prefix, and it runs from there.

Usage: install_test.py BUILD_FOLDER
"""
import pathlib
import shutil
import subprocess
import sys
import tempfile

BUILD = pathlib.Path(sys.argv[1]).resolve()


def main():
    with tempfile.TemporaryDirectory() as prefix:
        subprocess.run(["cmake", "--install", BUILD, "--prefix", prefix, "--component", "Unspecified"], check=True,
                       stdout=subprocess.DEVNULL)
        program = pathlib.Path(prefix) / "bin/steno"
        for file in (program, pathlib.Path(prefix) / "share/bash-completion/completions/steno",
                     pathlib.Path(prefix) / "share/zsh/site-functions/_steno"):
            assert file.is_file(), f"{file.name} was not installed"
        names = subprocess.run([program, "methods", "--names"], cwd=prefix, check=True, capture_output=True, text=True)
        assert "dense" in names.stdout.split(), names.stdout
        moved = pathlib.Path(prefix) / "elsewhere"
        shutil.copy(program, moved)
        subprocess.run([moved, "--version"], check=True, stdout=subprocess.DEVNULL)
    print("installed, and runs from there")


if __name__ == "__main__":
    main()
