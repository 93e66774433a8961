# shellcheck shell=bash
# Sourced by scripts/run and scripts/test: makes a virtual environment in the repository and keeps
# it up to date. Needs `set -euo pipefail` and what every Debian has.
#
# The install is editable: an edit or a `git pull` is live at once, where a copy would have to be
# built again, which takes a Raspberry Pi tens of seconds. Only what an editable install fixes (the
# list of packages, what they need, the version) leads to a new install.
#
# A stamp in the environment says what it was made from. While work is under way it is called
# fer-edge.partial: an environment with that was interrupted and is made anew, one with neither is
# somebody else's and is left alone.

REPOSITORY=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd -P)
readonly REPOSITORY
# The tests set these to play another machine.
readonly DEVICE_MODEL=${FER_EDGE_DEVICE_MODEL:-/proc/device-tree/model}
readonly APT_PACKAGES=${FER_EDGE_APT_PACKAGES:-/usr/lib/python3/dist-packages}

# stdout is for data: all that is said here goes to stderr.
say() {
    printf '%s\n' "$*" >&2
}

die() {
    say "$*"
    exit 1
}

on_raspberry_pi() {
    grep --quiet --no-messages --text 'Raspberry Pi' "$DEVICE_MODEL"
}

require_64_bit() {
    local machine
    machine=$(uname -m)
    # Both, because a 64-bit kernel may carry a 32-bit system, as Raspberry Pi OS (32-bit) does.
    if [[ $(getconf LONG_BIT) != 64 || $machine == armv[5-7]* ]]; then
        die "fer-edge needs a 64-bit system, because LiteRT has no 32-bit build; this one is 32-bit" \
            "($machine). Install Raspberry Pi OS (64-bit)."
    fi
}

# Sets BASE_PYTHON to the path of a Python that can make an environment, or ends with one line.
find_python() {
    local candidate found version tools path unfit="" bare=""
    local candidates=(python3 python3.13 python3.12 python3.11)
    if [[ -n ${PYTHON:-} ]]; then
        candidates=("$PYTHON")
    fi
    for candidate in "${candidates[@]}"; do
        # Debian keeps ensurepip in a package of its own, python3-venv.
        found=$("$candidate" -I -c '
import os, sys
try:
    import ensurepip, venv
    tools = "venv"
except ImportError:
    tools = "none"
print("%d.%d" % sys.version_info[:2], tools, os.path.realpath(sys._base_executable))
' 2>/dev/null) || continue
        read -r version tools path <<<"$found"
        if [[ $version != 3.1[1-3] ]]; then
            unfit=${unfit:-"$candidate is $version"}
        elif [[ $tools == none ]]; then
            bare=${bare:-"$version $candidate"}
        else
            BASE_PYTHON=$path
            return
        fi
    done
    if [[ -n $bare ]]; then
        read -r version candidate <<<"$bare"
        if [[ ${candidate##*/} == python3 ]]; then
            version=3
        fi
        die "$candidate cannot make a virtual environment. Run: sudo apt install python$version-venv"
    fi
    if [[ -n $unfit ]]; then
        die "fer-edge needs Python 3.11, 3.12 or 3.13; $unfit. Name another one: PYTHON=... $0"
    fi
    die "${PYTHON:-python3} does not run. Run: sudo apt install python3 python3-venv"
}

# What environment $1 stands on: when one of these changes, it is made anew. The repository's place
# is among them, because the commands in an environment hold its path.
foundation() {
    printf 'repository %s\n' "$REPOSITORY"
    printf 'python %s\n' "${BASE_PYTHON:-$(readlink -f -- "$1/bin/python")}"
    printf 'system packages: %s' "$SYSTEM_PACKAGES"
    if [[ $SYSTEM_PACKAGES == yes ]]; then
        # apt's picamera2 comes with apt's numpy and loads with no other; an environment from
        # before it came may hold a newer one.
        compgen -G "$APT_PACKAGES/numpy-*" | LC_ALL=C sort | tr '\n' ' ' || true
    fi
    printf '\n'
}

# What is installed into it: when one of these changes, it is installed again. $1: the extras.
contents() {
    printf 'extras %s\n' "$1"
    (cd -- "$REPOSITORY" && sha256sum setup.cfg pyproject.toml edge/version.py)
}

# Whether the stamp of environment $1 has the text $2 in it.
is_stamped() {
    [[ -f $1/fer-edge.stamp && -x $1/bin/python && $(<"$1/fer-edge.stamp") == *"$2"* ]]
}

is_current() {
    is_stamped "$1" "$(foundation "$1")"$'\n'"$(contents "$2")"
}

install_project() {
    # Wheels only for the big ones: without a fitting one pip would build OpenCV for hours.
    # No --upgrade: what apt or an earlier call installed stays, as long as it fits.
    (cd -- "$REPOSITORY" && "$1/bin/python" -I -m pip install -qq --disable-pip-version-check \
        --no-input --only-binary=ai-edge-litert,numpy,opencv-python-headless \
        --constraint "$1/constraints.txt" --editable ".$2" >&2)
}

update_environment() {
    local venv=$1 extras=$2 name=${1##*/} stamp=$1/fer-edge.stamp partial=$1/fer-edge.partial
    say "Updating $name ..."
    mv -- "$stamp" "$partial"
    if ! install_project "$venv" "$extras"; then
        # pip reported an error, so it took back what it had begun: the old state is whole.
        mv -- "$partial" "$stamp"
        die "Updating $name failed: see above. The next call tries again."
    fi
}

make_environment() {
    local venv=$1 extras=$2 name=${1##*/} stamp=$1/fer-edge.stamp partial=$1/fer-edge.partial
    local options=()
    find_python
    if [[ -e $venv ]]; then
        if [[ ! -e $stamp && ! -e $partial && -n $(ls -A -- "$venv") ]]; then
            die "$venv was made by something else. Move it away or remove it."
        fi
        # Renamed first: rm may be interrupted when the stamp is gone and other files are not.
        rm -rf -- "$venv.old"
        mv -- "$venv" "$venv.old"
    fi
    say "Setting up $name, which takes some minutes on a Raspberry Pi ..."
    rm -rf -- "$venv.old"
    mkdir -- "$venv"
    : >"$partial"
    if [[ $SYSTEM_PACKAGES == yes ]]; then
        options=(--system-site-packages)
    fi
    "$BASE_PYTHON" -I -m venv "${options[@]}" "$venv" >&2 || die "Cannot make $venv: see above."
    # The system's numpy is to stay the one in use, whatever some requirement would rather have.
    "$venv/bin/python" -I -c 'from importlib.metadata import version
print("numpy==" + version("numpy"))' >"$venv/constraints.txt" 2>/dev/null || true
    install_project "$venv" "$extras" ||
        die "Setting up $name failed: see above. It needs the network; the next call tries again."
}

# Makes or updates the environment in the repository's folder $1, with the project and its extras
# $2 ("" or "[a,b]"). $3 says whether it sees the system's own Python packages: yes or no.
prepare_environment() {
    local venv=$REPOSITORY/$1 extras=$2
    readonly SYSTEM_PACKAGES=$3
    require_64_bit
    if [[ -n ${PYTHON:-} ]]; then
        find_python
    fi
    if is_current "$venv" "$extras"; then
        return
    fi
    # One at a time: a service and a user may start together. The folder itself is the lock.
    (
        flock 9
        if is_current "$venv" "$extras"; then
            exit
        fi
        if is_stamped "$venv" "$(foundation "$venv")"$'\n'; then
            update_environment "$venv" "$extras"
        else
            make_environment "$venv" "$extras"
        fi
        # Boards lose power: the stamp must not reach the card before what it vouches for.
        sync -f "$venv"
        unset BASE_PYTHON
        { foundation "$venv" && contents "$extras"; } >"$venv/fer-edge.partial"
        mv -- "$venv/fer-edge.partial" "$venv/fer-edge.stamp"
    ) 9<"$REPOSITORY"
}
