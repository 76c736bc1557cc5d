#!/usr/bin/env bash
# Set up everything Outtakes needs, in .venv/ beside this folder: uv, Python 3.12, the locked
# packages and the system libraries that draw pictures. Asks nothing; quick when nothing changed.
#
#     scripts/setup.sh [--browser]     --browser: also what the tests open pages and windows with:
#                                      Chromium, and Xvfb, a screen without a monitor
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "setup: $*" >&2; }
fail() { say "$@"; exit 1; }
runs() { "$@" >/dev/null 2>&1; }

# --- system packages -----------------------------------------------------------------------------

is_root() { [ "$(id -u)" = 0 ]; }

apt_install() { # PACKAGE...: install when root; otherwise say how, and fail
    local install="apt-get install -y --no-install-recommends $*"
    command -v apt-get >/dev/null || { say "missing: $*; install your system's equivalent"; return 1; }
    is_root || { say "missing: $*. Run: sudo $install"; return 1; }
    say "installing $*"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive $install -qq >/dev/null
}

has_library() { # NAME: whether the dynamic linker knows it
    PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null | grep -F "$1" >/dev/null
}

has_file() { # PATTERN...: whether any of these files exists
    local file
    for file in "$@"; do [ -e "$file" ] && return; done
    return 1
}

can_draw() { # through OSMesa, or through EGL: on a GPU or in software
    has_library libOSMesa.so.8 && return
    has_library libEGL.so.1 && { has_library libOpenGL.so.0 || has_library libGL.so.1; } || return 1
    has_library libEGL_nvidia.so.0 || has_file /usr/lib/*/libgallium-*.so /usr/lib/*/dri/swrast_dri.so
}

install_opengl() {
    [ "$(uname)" = Linux ] || return 0
    can_draw || apt_install libegl1 libgl1-mesa-dri libopengl0 ||
        { is_root && apt_install libosmesa6; } ||
        fail "without OpenGL nothing can be drawn; install it and run this again"
}

install_browser() {
    local name
    for name in chromium chromium-browser google-chrome; do
        runs "$name" --version && return
    done
    # Ubuntu's chromium is a snap, which containers cannot run; Playwright brings one of its own.
    if grep -q '^ID=debian' /etc/os-release 2>/dev/null; then
        apt_install chromium
    else
        has_file "${HOME:-}"/.cache/ms-playwright/chromium-*/ || playwright_install
    fi || fail "without Chromium the report cannot be tested; install it and run this again"
}

playwright_install() { # a root also gets the libraries that Chromium needs
    local libraries=()
    ! is_root || libraries=(--with-deps)
    say "installing Chromium"
    .venv/bin/playwright install "${libraries[@]}" chromium >/dev/null
}

install_screen() {
    [ "$(uname)" = Linux ] || return 0
    command -v Xvfb >/dev/null || apt_install xvfb ||
        fail "without Xvfb the operator's window cannot be tested; install it and run this again"
}

# --- uv and the Python environment ---------------------------------------------------------------

find_uv() { # a pyenv shim may exist and yet not run, hence --version
    local candidate
    for candidate in uv "${HOME:-}/.local/bin/uv" "$PWD/.uv/bin/uv"; do
        runs "$candidate" --version && echo "$candidate" && return
    done
    return 1
}

find_python_with() { # MODULE: a Python of any version that has it
    local candidate
    for candidate in python3 python /usr/bin/python3; do
        runs "$candidate" -c "import sys, $1; assert sys.version_info >= (3, 8)" &&
            echo "$candidate" && return
    done
    return 1
}

install_uv() { # into .uv/, so that no other Python on the machine changes
    local python
    say "installing uv into .uv/"
    export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
    rm -rf .uv
    if ! find_python_with pip >/dev/null; then
        if python=$(find_python_with ensurepip) && runs "$python" -m venv .uv; then
            .uv/bin/python -m pip install --quiet uv
            return
        fi
        rm -rf .uv
        apt_install python3-pip || fail "uv is missing, and so is pip to install it with"
    fi
    python=$(find_python_with pip) || fail "no Python 3.8 or later with pip"
    "$python" -m pip install --quiet --target .uv uv ||
        fail "could not install uv; see https://docs.astral.sh/uv/getting-started/installation"
}

stamp() { # what the environment was made from; a moved folder needs a new one
    pwd
    cat uv.lock pyproject.toml packages/*/pyproject.toml .python-version | cksum
}

install_packages() {
    local uv
    [ "$(stamp)" = "$(cat .venv/.outtakes-setup 2>/dev/null)" ] && runs .venv/bin/python -V && return
    uv=$(find_uv) || { install_uv; uv=$(find_uv) || fail "uv does not run on this machine"; }
    say "installing Python packages into .venv/ (about 6 GB)"
    UV_PROJECT_ENVIRONMENT=.venv "$uv" sync --quiet --frozen --extra all ||
        fail "could not install the packages: see above. If it is Python 3.12 that is missing, install it"
    stamp >.venv/.outtakes-setup
}

install_opengl
install_packages
[ "${1:-}" != --browser ] || { install_browser; install_screen; }
