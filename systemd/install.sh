#!/usr/bin/env bash
# Makes this host a pykubelet node, or takes the node away again.
#
#   sudo systemd/install.sh               install or upgrade; can be run again at any time
#   sudo systemd/install.sh --uninstall   remove every trace
#
# Options:
#   --no-example             don't start the example pod
#   --offline-bundle DIR     take the Python packages from a folder of wheels and fetch nothing
#   --purge-packages         with --uninstall: also remove the packages that apt installed for us
#   --help
#
# On Debian 12 and 13 and Ubuntu 24.04, with apt and PyPI in reach; no container registry is
# needed. This script fetches packages and makes a Python environment in /opt/pykubelet; the rest
# is pykubelet.bootstrap.install.
set -euo pipefail

source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
prefix=/opt/pykubelet
uninstall='' bundle='' options=()

say() { printf '%s %s\n' "$(paint 32 ✓)" "$*"; }
warn() { printf '%s %s\n' "$(paint 33 !)" "$*"; }
die() { printf '%s %s\n' "$(paint 31 ✗)" "$*" >&2; exit 1; }
paint() { if [[ -t 1 && ! ${NO_COLOR:-} ]]; then printf '\033[%sm%s\033[0m' "$1" "$2"; else printf %s "$2"; fi; }
usage() { sed -n '2,17s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

while (($#)); do
    case $1 in
        --uninstall) uninstall=1 ;;
        --purge-packages | --no-example) options+=("$1") ;;
        --offline-bundle)
            [[ -d ${2:-} ]] || die "--offline-bundle: '${2:-}' is no folder"
            bundle=$(cd "$2" && pwd)
            shift
            ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; die "unknown option: $1" ;;
    esac
    shift
done

[[ $EUID -eq 0 ]] || die "this needs root; run it as: sudo ${BASH_SOURCE[0]}"
export PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin${PATH:+:$PATH}"

# -- packages -------------------------------------------------------------------------------------

fetched=()

installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

apt_get() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" \
        </dev/null >"$scratch/apt.log" 2>&1
}

# need COMMAND PACKAGE [optional]: a command that is here already, whoever brought it, is enough.
missing=()
need() {
    command -v "$1" >/dev/null || installed "$2" || missing+=("$2")
}

fetch_packages() {
    need containerd containerd
    need runc runc
    need iptables iptables
    need nft nftables
    need conntrack conntrack
    need ip iproute2
    need catatonit catatonit
    installed busybox-static || missing+=(busybox-static)
    ((${#missing[@]})) || { say "all packages are there"; return; }
    [[ ! $bundle ]] || die "offline, but these packages are missing: ${missing[*]}"
    command -v apt-get >/dev/null || die "no apt here; install these by hand: ${missing[*]}"
    install_packages "${missing[@]}"
}

install_packages() {
    apt_get install -y --no-install-recommends "$@" || {
        # A third party's list that can't be reached fails `update`, while the distribution's came.
        apt_get update || true
        apt_get install -y --no-install-recommends "$@" \
            || die "apt can't install $*: $(grep -m1 '^E:' "$scratch/apt.log" || tail -n1 "$scratch/apt.log")"
    }
    fetched+=("$@")
    say "packages: $*"
}

# -- Python ---------------------------------------------------------------------------------------

python=''
find_python() {
    local candidate
    for candidate in /usr/bin/python3 /usr/bin/python3.1[1-9] python3; do
        candidate=$(command -v "$candidate") || continue
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        python=$("$candidate" -c 'import os, sys; print(os.path.realpath(sys.executable))')
        return 0
    done
    return 1
}

pip() { "$prefix/bin/python" -m pip --disable-pip-version-check --quiet "$@" </dev/null; }

# pip of an offline installation looks nowhere else.
pip_install() {
    if [[ $bundle ]]; then pip install --no-index --find-links "$bundle" "$@"; else pip install "$@"; fi
}

make_environment() {
    find_python || { [[ $bundle ]] || install_packages python3; find_python; } \
        || die "no Python 3.11 or newer here; install one (Debian 12 and newer have it)"
    "$python" -c 'import venv, ensurepip' 2>/dev/null || {
        [[ ! $bundle ]] || die "Python's venv module is missing: apt install python3-venv"
        install_packages python3-venv
    }
    if ! "$prefix/bin/python" -m pip --version >/dev/null 2>&1; then
        rm -rf "$prefix"
        "$python" -m venv "$prefix"
    fi
    # The checkout stays as it is: pip would leave its build folders in it.
    mkdir "$scratch/tree"
    cp -R "$source_dir"/{pyproject.toml,README.md,LICENSE,pykubelet} "$scratch/tree/"
    pip_install --upgrade setuptools wheel || die "pip can't fetch setuptools; is PyPI in reach?"
    pip wheel --no-build-isolation --no-deps --wheel-dir "$scratch" "$scratch/tree"
    # The same version may stand for newer code, so ours is always put in anew; then what it needs.
    pip install --force-reinstall --no-deps "$scratch"/pykubelet-*.whl
    pip_install pykubelet || die "pip can't install pykubelet's dependencies (see above)"
    say "pykubelet $("$prefix/bin/pykubelet" --version | cut -d' ' -f2) is in $prefix ($("$python" -V))"
    systemd_bindings
}

# systemd-python has to be built, which needs a compiler and headers. Without it the agent says the
# same to systemd, only its journal lines have no fields, so a failure is no reason to stop.
systemd_bindings() {
    [[ -d /run/systemd/system ]] || return 0
    "$prefix/bin/python" -c 'import systemd.daemon' 2>/dev/null && return 0
    if [[ ! $bundle ]]; then
        local headers=() package
        for package in libsystemd-dev pkg-config gcc libc6-dev python3-dev; do
            installed "$package" || headers+=("$package")
        done
        ((${#headers[@]})) && install_packages "${headers[@]}"
    fi
    pip_install --no-build-isolation 'systemd-python>=235' >"$scratch/systemd.log" 2>&1 \
        || warn "systemd-python can't be built; the journal gets plain lines"
}

# -------------------------------------------------------------------------------------------------

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if [[ $uninstall ]]; then
    if [[ ! -x $prefix/bin/python ]]; then
        [[ ! -e /var/lib/pykubelet/install.json ]] \
            || die "$prefix is gone, but not what else was installed; install again, then uninstall"
        say "pykubelet is not installed"
        exit 0
    fi
    # Not below the folder that is about to go.
    cd /
    "$prefix/bin/python" -m pykubelet.bootstrap.install --uninstall --source "$source_dir" "${options[@]}"
    rm -rf "$prefix"
    say "$prefix is removed: nothing of pykubelet is left"
    exit 0
fi

fetch_packages
make_environment
cd /
"$prefix/bin/python" -m pykubelet.bootstrap.install --source "$source_dir" \
    --packages "${fetched[*]-}" "${options[@]}"
