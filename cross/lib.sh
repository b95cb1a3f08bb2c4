# Sourced by the scripts beside it: what each target is called by whom, and where tools are kept.
# shellcheck shell=bash

# Downloaded once, outside of the tree and of any cargo clean.
kept=${XDG_CACHE_HOME:-$HOME/.cache}/leafcron/cross

die() {
    printf '%s: %s\n' "$(basename "$0")" "$@" >&2
    exit 1
}

# The names of a target: Debian's architecture, the prefix of its GNU tools, what qemu calls it; and what rustc is told.
names() {
    flags=
    case $1 in
    # Thumb-2, which every ARMv7 has: the same program in less room.
    armv7-unknown-linux-gnueabihf) debian=armhf gnu=arm-linux-gnueabihf qemu=arm flags="-C target-feature=+thumb-mode" ;;
    aarch64-unknown-linux-gnu) debian=arm64 gnu=aarch64-linux-gnu qemu=aarch64 ;;
    x86_64-unknown-linux-gnu) debian=amd64 gnu=x86_64-linux-gnu qemu=x86_64 ;;
    *) die "no target $1; there are armv7-unknown-linux-gnueabihf, aarch64-unknown-linux-gnu, x86_64-unknown-linux-gnu" ;;
    esac
}

# The target of a Debian architecture.
target_of() {
    case $1 in
    armhf) echo armv7-unknown-linux-gnueabihf ;;
    arm64) echo aarch64-unknown-linux-gnu ;;
    amd64) echo x86_64-unknown-linux-gnu ;;
    *) die "no architecture $1; there are armhf, arm64, amd64" ;;
    esac
}

host() {
    rustc --version --verbose | sed -n 's/^host: //p'
}

apt_install() {
    local missing=()
    for package in "$@"; do
        dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null | grep --quiet 'ok installed' ||
            missing+=("$package")
    done
    [ "${#missing[@]}" = 0 ] && return
    command -v apt-get >/dev/null || die "needs these (Debian's names), and there is no apt-get: ${missing[*]}"
    local as_root=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "needs these packages, and neither root nor sudo is at hand: ${missing[*]}"
        as_root=(sudo)
    fi
    echo "cross: installing ${missing[*]}" >&2
    for try in 1 2 3 4 5; do
        "${as_root[@]}" apt-get -qq update >&2 &&
            "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
                apt-get -qq install --yes --no-install-recommends "${missing[@]}" >&2 && return
        # The index may be out of sync with its mirror for a minute.
        [ "$try" = 5 ] || sleep 15
    done
    die "could not install: ${missing[*]}"
}
