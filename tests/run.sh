#!/usr/bin/env bash
# All the set-up for the tests, then the tests: `sudo tests/run.sh [STAGE…]`.
#
# Stages, in this order: checks unit component node lab. Without arguments, all of them. Anything
# after `--` goes to pytest (`tests/run.sh unit -- -k manifest`).
#
# What it needs it fetches with apt (only packages that are missing) and pip (into a venv in a cache
# folder outside the tree, keyed by what pyproject.toml asks for). It changes nothing else on the
# machine. The last line is `N passed, N failed, N skipped`; above it stands what failed, and what
# couldn't run and why. Each check (ruff, mypy, …) counts as one test.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 2

# How long a stage may take, and all of it, in minutes. A stage that hangs must not take the others'
# results away.
declare -A limit=([unit]=10 [component]=14 [node]=16 [lab]=30)
total=${TOTAL_MINUTES:-48}
jobs=${JOBS:-2}

usage() {
    sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    echo
    echo "Environment: PYTHON (interpreter, 3.11 or newer), JOBS (pytest processes, default 2),"
    echo "TOTAL_MINUTES (then no more is begun, default 48),"
    echo "PYKUBELET_TEST_CACHE (default ~/.cache/pykubelet-tests), NO_APT=1 (install no packages)."
}

stages=()
while (($#)); do
    case $1 in
        checks | unit | component | node | lab) stages+=("$1") ;;
        -h | --help) usage; exit 0 ;;
        --) shift; break ;;
        *) echo "tests/run.sh: unknown stage '$1'" >&2; usage >&2; exit 2 ;;
    esac
    shift
done
((${#stages[@]})) || stages=(checks unit component node lab)
wants() { [[ " ${stages[*]} " == *" $1 "* ]]; }

cache=${PYKUBELET_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/pykubelet-tests}
results=$(mktemp -d) || exit 2
trap 'rm -rf "$results"' EXIT
cannot="$results/cannot"   # what couldn't run and why, one a line
: >"$cannot"

say() { printf '\n\033[1m── %s\033[0m\n' "$*"; }
note() { echo "$*" >>"$cannot"; }

# -- packages -------------------------------------------------------------------------------------

installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

# Installs those of the packages that are missing; the ones that can't be had are noted, not fatal,
# for a test that needs them says so itself.
packages() {
    local missing=() package
    for package; do
        # Another vendor's containerd will do, and must not have to go for the distribution's.
        installed "$package" || command -v "$package" >/dev/null || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    if [[ ${NO_APT:-} || $EUID -ne 0 ]] || ! command -v apt-get >/dev/null; then
        note "not installed (needs root and apt): ${missing[*]}"
        return 0
    fi
    say "apt: ${missing[*]}"
    apt_install "${missing[@]}" && return 0
    # A third party's list that can't be reached fails `update`, while Debian's own came through.
    apt-get -q -o Acquire::Retries=2 update || true
    apt_install "${missing[@]}" && return 0
    for package in "${missing[@]}"; do
        apt_install "$package" || note "apt can't install $package"
    done
}

# The distribution's, where there is none and its version will do (tests/support/kubectl.py).
client() {
    local version
    command -v kubectl >/dev/null && return 0
    version=$(apt-cache show --no-all-versions kubernetes-client 2>/dev/null | sed -n 's/^Version: //p')
    dpkg --compare-versions "${version%%+*}" ge 1.28 2>/dev/null && packages kubernetes-client
}

apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 -o Acquire::Retries=2 \
        -o DPkg::Lock::Timeout=300 install --no-remove --no-install-recommends "$@" </dev/null >"$results/apt.log" 2>&1 \
        || { tail -n 3 "$results/apt.log"; return 1; }
}

# -- the interpreter and its libraries -------------------------------------------------------------

usable() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

interpreter() {
    local candidate
    for candidate in ${PYTHON:-} python3 /usr/bin/python3 python3.13 python3.12 python3.11; do
        if usable "$candidate"; then echo "$candidate"; return 0; fi
    done
    return 1
}

libraries() {
    local python key
    python=$(interpreter) || { packages python3-venv >&2; python=$(interpreter); } \
        || { echo "no Python 3.11 or newer with venv found; install python3-venv" >&2; return 1; }
    # The project itself is not installed: the tests run the tree they stand in.
    key=$({ cat pyproject.toml; "$python" -VV; "$python" -c 'import sys; print(sys.prefix)'; } | sha256sum | cut -c1-12)
    venv="$cache/venv-$key"
    if [[ ! -e $venv/complete ]]; then
        say "venv: $venv"
        rm -rf "$venv"
        mkdir -p "$cache" && "$python" -m venv "$venv" || return 1
        "$venv/bin/python" - >"$results/requirements" <<'PY' || return 1
import tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
extras = project["optional-dependencies"]
print(*project["dependencies"], *extras["dev"], *extras["apiserver"], sep="\n")
PY
        pip -r "$results/requirements" || return 1
        if pkg-config --exists libsystemd 2>/dev/null; then
            pip systemd-python || note "systemd-python can't be built: readiness goes through NOTIFY_SOCKET alone"
        fi
        touch "$venv/complete"
    fi
    # Older venvs of this cache are of no more use.
    find "$cache" -maxdepth 1 -name 'venv-*' ! -path "$venv" -mtime +7 -exec rm -rf {} + 2>/dev/null
    return 0
}

pip() { "$venv/bin/python" -m pip install -q --retries 5 --disable-pip-version-check "$@" </dev/null; }

# -- running ---------------------------------------------------------------------------------------

# One check: counted as a test of its own, for the summary (junit.py) reads these lines.
check() {
    local name=$1; shift
    if "$@" </dev/null; then
        echo "passed $name" >>"$results/checks"
    else
        echo "failed $name" >>"$results/checks"
    fi
}

# A few failures are tried once more, alone: a machine that is too busy must not turn work away. The
# summary names whatever needed it, so that nothing hides behind this.
second_try() {
    local name=$1; shift
    local failures left=$((total * 60 - SECONDS))
    failures=$(grep -cE '<(failure|error) ' "$results/$name.xml" || true)
    ((failures > 0 && failures <= 10 && left > 120)) || return 0
    say "$name: a second try of what failed"
    timeout --kill-after=60 --signal=INT "$((left < 600 ? left : 600))" \
        "$venv/bin/python" -m pytest "tests/$name" -q --junitxml="$results/$name.again" \
        -o junit_suite_name="$name" -o cache_dir="$cache/pytest" "$@" -n 0 --last-failed </dev/null || true
}

stage() {
    local name=$1; shift
    [[ -d tests/$name ]] || return 0
    say "$name"
    local started=$SECONDS code
    local seconds=$((limit[$name] * 60)) left=$((total * 60 - SECONDS))
    ((seconds < left)) || seconds=$left
    if ((seconds < 30)); then
        echo "failed $name: none of the $total minutes is left for it" >>"$results/checks"
        return
    fi
    timeout --kill-after=60 --signal=INT "$seconds" \
        "$venv/bin/python" -m pytest "tests/$name" -q --junitxml="$results/$name.xml" \
        -o junit_suite_name="$name" -o cache_dir="$cache/pytest" --durations=5 "$@" </dev/null
    code=$?
    ((code != 1)) || second_try "$name" "$@"
    echo "$name took $((SECONDS - started)) s"
    case $code in
        0 | 1 | 5) ;; # passed, failed, nothing collected
        124 | 137) echo "failed $name: cut off after $seconds seconds" >>"$results/checks" ;;
        *) echo "failed $name: pytest ended with code $code" >>"$results/checks" ;;
    esac
}

say "set-up"
system=()
if wants component || wants node || wants lab; then
    # busybox-static and catatonit become the test images, containernetworking-plugins is the
    # reference that our own CNI plugin is measured against, etcd the other store of the API server.
    # kubernetes-client is not among them: it conflicts with other vendors' kubectl, see `client`.
    system+=(containerd runc iptables nftables conntrack iproute2 procps kmod busybox-static
        catatonit containernetworking-plugins etcd-server openssl e2fsprogs
        libsystemd-dev pkg-config gcc libc6-dev python3-dev) # the last five build systemd-python
fi
# The lab builds a Debian for its virtual machine, and wheels for the system's own Python.
wants lab && system+=(qemu-system-x86 qemu-utils mmdebstrap debian-archive-keyring zstd lz4 cpio
    openssh-client python3-venv)
# Checks and unit tests run as anyone; for them nothing is installed that the interpreter can spare.
((${#system[@]})) && packages "${system[@]}"
if wants component || wants node; then client; fi
libraries || { echo "the Python libraries couldn't be installed" >&2; exit 2; }
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" PATH="$venv/bin:/usr/sbin:/sbin:$PATH"
export PYKUBELET_TEST_CACHE="$cache"
# Whatever the tools keep, they keep outside the tree: root's files there would be in its owner's way.
export PYTHONPYCACHEPREFIX="$cache/pycache" RUFF_CACHE_DIR="$cache/ruff" MYPY_CACHE_DIR="$cache/mypy"
export HYPOTHESIS_STORAGE_DIRECTORY="$cache/hypothesis"

if wants checks; then
    say "checks"
    check "ruff check" ruff check --quiet .
    check "ruff format" ruff format --check --quiet .
    check mypy mypy
    check lint-imports lint-imports --cache-dir "$cache/import-linter"
fi
wants unit && stage unit -n "$jobs" "$@"
for name in component node lab; do
    wants "$name" || continue
    if [[ $EUID -ne 0 ]]; then
        note "$name: needs root (namespaces, mounts, cgroups): sudo tests/run.sh $name"
        continue
    fi
    # A file's tests share a machine and come in order; in the lab, two files are two hosts.
    stage "$name" -n "$jobs" --dist loadfile "$@"
done

say "summary"
exec "$venv/bin/python" -m tests.support.summary "$results"
