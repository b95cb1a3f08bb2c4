# Sourced by the scripts beside it: a Debian of its own with systemd as PID 1, in a container, in the directory $root.
# Needs root, for the container; nothing of this machine is changed but for the packages that it installs and, for armhf,
# qemu's registration as an interpreter. The Debian is kept in the cache directory.
# shellcheck shell=bash

[ "$(id -u)" = 0 ] || die "needs root: systemd-nspawn makes the container"
apt_install systemd-container mmdebstrap util-linux
interpreted=
if [ "$architecture" != "$(dpkg --print-architecture)" ]; then
    interpreted=yes
    apt_install qemu-user-static arch-test
    tests/package/binfmt "$architecture"
fi

kept=${XDG_CACHE_HOME:-$HOME/.cache}/leafcron
base=$kept/debian-bookworm-$architecture.tar
if [ ! -e "$base" ]; then
    mkdir -p "$kept"
    # From where this machine has its own packages; Debian's suite alone, since the index of its updates for another
    # architecture is often out of sync.
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' | sed -n 's/ bookworm$//p' | head -1)
    [ -n "$mirror" ] || die "apt has no source for Debian bookworm: the container is made of its packages"
    mmdebstrap --quiet --variant=minbase --architectures="$architecture" \
        --include=systemd,systemd-sysv,dbus,libpam-systemd,dbus-user-session,procps,adduser bookworm "${base%.tar}.part.tar" \
        "deb $mirror bookworm main"
    mv "${base%.tar}.part.tar" "$base"
fi

root=$(mktemp -d)
leader=
log=$root.log
finish() {
    status=$?
    if [ -n "$leader" ] && kill -0 "$leader" 2>/dev/null; then kill -9 "$leader"; fi
    wait
    if [ "$status" != 0 ]; then
        echo "--- the container's console"
        tail -40 "$log"
        echo "--- the agent's log"
        journalctl --directory="$root/var/log/journal" --unit=leafcrond --no-pager --lines=60 2>/dev/null || true
    fi
    rm -rf "$root" "$log"
    exit "$status"
}
trap finish EXIT
tar -C "$root" -xf "$base"
mkdir -p "$root/var/log/journal"

ok() { echo "ok   $architecture: $*"; }
fail() {
    echo "FAIL $architecture: $*" >&2
    exit 1
}
# In the container.
within() { nsenter --target "$leader" --all -- /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"; }
# Until a command in the container succeeds.
until_() {
    local what=$1 try
    shift
    for ((try = 0; try < 600; try++)); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.2
    done
    fail "waited in vain: $what"
}
is() { # WHAT WANTED COMMAND...
    local got
    got=$(within "${@:3}" 2>&1) || true
    [ "$got" = "$2" ] || fail "$1: $got, not $2"
    ok "$1"
}
boot() {
    SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 setsid systemd-nspawn --quiet --directory="$root" --register=no --keep-unit \
        --private-network --console=pipe --boot >>"$log" 2>&1 </dev/null &
    nspawn=$!
    local try state
    for ((try = 0; try < 900; try++)); do
        kill -0 "$nspawn" 2>/dev/null || fail "the container ended"
        leader=$(pgrep --parent "$nspawn" | head -1) || true
        state=$([ -z "$leader" ] || within systemctl is-system-running 2>/dev/null) || true
        case $state in running | degraded) return ;; esac
        sleep 0.2
    done
    fail "the container does not come up: $state"
}
