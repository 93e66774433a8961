# shellcheck shell=bash
# Sourced by scripts/try-pi-setup and scripts/test-arm64, after _environment.sh: a Debian root,
# perhaps of another architecture, and commands in it. Needs root's rights.

# The boards' processors: what qemu calls them, and their "CPU part" in /proc/cpuinfo.
declare -rA PROCESSORS=([cortex-a53]=0xd03 [cortex-a72]=0xd08 [cortex-a76]=0xd0b)
readonly RASPBERRY_PI_4=cortex-a72

# Starts the script again where its mounts are its own, and end with it however it ends.
own_mounts() {
    if [[ ${FER_EDGE_MOUNTS:-} != own ]]; then
        FER_EDGE_MOUNTS=own exec unshare --mount -- "$0" "$@"
    fi
}

# Makes the folder $1 ready for `inside`: its own /proc, /sys, /dev, and the way to the network.
open_root() {
    local folder
    root=$(realpath -- "$1") emulated=no
    processors=$root/srv/cpuinfo
    if [[ ! -x $root/bin/sh || $root == / ]]; then
        say "$root is no root: debootstrap makes one."
        exit 2
    fi
    for folder in proc sys dev; do
        mount --rbind "/$folder" "$root/$folder"
    done
    if [[ $(uname -m) != "$(chroot "$root" uname -m)" ]]; then
        emulated=yes
        : >"$processors"
        mount --bind "$processors" "$root/proc/cpuinfo"
        play_processor "$RASPBERRY_PI_4"
    fi
    cp --dereference /etc/resolv.conf "$root/etc/resolv.conf"
    if [[ -n ${PIP_CERT:-} ]]; then
        install -D --mode=644 "$PIP_CERT" "$root$PIP_CERT"
    fi
}

# LiteRT's cpuinfo believes what it reads in /proc/cpuinfo, and crashes where that and /sys speak of
# another kind of processor than it was built for; which instructions there are the emulator tells.
play_processor() {
    local number
    processor=$1
    for ((number = 0; number < $(nproc); number++)); do
        printf '%s\n' "processor : $number" "Features : fp asimd evtstrm crc32 cpuid" \
            "CPU implementer : 0x41" "CPU architecture: 8" "CPU variant : 0x0" \
            "CPU part : ${PROCESSORS[$processor]}" "CPU revision : 3" ""
    done >"$processors"
}

# Runs a command in the root, with pip's configuration of this machine and nothing else of it.
inside() {
    local name variables=()
    for name in ${!PIP_*}; do
        variables+=("$name=${!name}")
    done
    if [[ $emulated == yes ]]; then
        variables+=("QEMU_CPU=$processor")
    fi
    chroot "$root" /usr/bin/env -i "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
        HOME=/root LC_ALL=C.UTF-8 "${variables[@]}" "$@"
}

# Copies what a commit of the working tree would hold into the folder $1, which must not exist.
copy_working_tree() {
    mkdir --parents -- "$1"
    git -C "$REPOSITORY" ls-files -co --exclude-standard -z |
        tar -C "$REPOSITORY" --null --files-from=- --ignore-failed-read --create --file=- |
        tar -C "$1" --extract --file=-
}

# Runs a command under a heading, and says how it ended.
check() {
    local began=$SECONDS status=0
    say "" && say "== $1"
    "${@:2}" || status=$?
    say "== exit $status after $((SECONDS - began)) s"
    return "$status"
}
