#!/bin/bash
# Installs what the build needs on Debian 12 and Ubuntu 24.04: packages by apt, and libtorch as the torch wheel in .venv.
# Does only what is missing, and says what it is going to do.
#   SUDO=            call apt-get without sudo
#   TORCH_DIR=DIR    use that libtorch; no .venv is made
#   PIP_EXTRA_ARGS   added to the pip call that installs torch
set -euo pipefail
cd "$(dirname "$0")/.."

torch_version=2.13.0
packages=(g++ cmake ninja-build pkg-config python3-venv
  libfmt-dev libspdlog-dev nlohmann-json3-dev libcli11-dev libtomlplusplus-dev
  libpcre2-dev libutf8proc-dev libzstd-dev libxxhash-dev libisal-dev libedit-dev
  libgtest-dev libgmock-dev librapidcheck-dev libbenchmark-dev)
# Quicker builds; left out where the system does not have them.
optional=(ccache mold)

fail() {
  echo "setup: $*" >&2
  exit 1
}
is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

as_root() {
  if [ "$(id -u)" -eq 0 ] || [ -z "${SUDO-sudo}" ] || ! command -v "${SUDO-sudo}" >/dev/null; then
    "$@"
  else
    "${SUDO-sudo}" "$@"
  fi
}

install_packages() {
  local missing=() package
  for package in "${packages[@]}"; do is_installed "$package" || missing+=("$package"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || fail "apt-get is not here; install the equivalents of: ${missing[*]}"
  for package in "${optional[@]}"; do is_installed "$package" || missing+=("$package"); done
  echo "setup: installing Debian packages: ${missing[*]}"
  local install=(apt-get install -y --no-install-recommends "${missing[@]}")
  # The package lists of a fresh container are empty, those of an old one out of date.
  if ! apt-get install --simulate --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
    ! as_root env DEBIAN_FRONTEND=noninteractive "${install[@]}"; then
    as_root apt-get update
    as_root env DEBIAN_FRONTEND=noninteractive "${install[@]}" ||
      fail "apt-get could not install the packages above; install them by hand and run this again"
  fi
}

has_torch() { compgen -G ".venv/lib/python3*/site-packages/torch-$torch_version*.dist-info/RECORD" >/dev/null; }

install_torch() {
  if [ -n "${TORCH_DIR-}" ]; then
    [ -e "$TORCH_DIR/include/ATen/ATen.h" ] || fail "TORCH_DIR=$TORCH_DIR holds no libtorch (include/ATen/ATen.h)"
    return
  fi
  has_torch && return
  echo "setup: installing torch $torch_version into .venv (hundreds of megabytes; the README tells how to take the CPU-only wheel)"
  [ -x .venv/bin/pip ] || python3 -m venv .venv
  # shellcheck disable=SC2086  # several arguments are meant to be several
  .venv/bin/pip install ${PIP_EXTRA_ARGS-} "torch==$torch_version"
  has_torch || fail "pip said it installed torch $torch_version, but it is not in .venv"
}

install_packages
install_torch
