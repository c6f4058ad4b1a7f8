#!/bin/sh
# Installs the Debian packages that tapstack needs:  scripts/bootstrap.sh run|test|peers
#
#   run   what the daemon and the demo need (Python, C compiler, ip, nft, ping, arping, curl, nc)
#   test  that, and the programs that the tests use as peers and tools
#   peers that of run, and what `make bench-peers` builds the other stacks from (500 MB with the Go compiler)
#
# Does nothing when everything is there.  Never starts a service of an installed package, never replaces
# a program that is there already.  Without root it says what is missing and goes on.
set -eu

profile=${1:-run}
case $profile in run | test | peers) ;; *) echo "usage: $0 run|test|peers" >&2; exit 2 ;; esac

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
missing=

# need COMMAND PACKAGE: PACKAGE is wanted where COMMAND is not found.
need() {
    PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}

# need_package PACKAGE: for what brings no command.
need_package() {
    dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $1"
}

python=$("$here/find-python.sh" 2>/dev/null) || missing="$missing python3 python3-venv python3-dev"
if [ -n "$python" ]; then
    "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' || missing="$missing python3-dev"
fi
need cc gcc
need_package libc6-dev
need ip iproute2
need nft nftables
need ping iputils-ping
need arping iputils-arping
need curl curl
need nc netcat-openbsd
if [ "$profile" = test ]; then
    need traceroute traceroute
    need nmap nmap
    need wrk wrk
    need iperf3 iperf3
    need ethtool ethtool
    need tshark tshark
    need tcpdump tcpdump
    need clang clang
    need redis-server redis-server
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
    need sshd openssh-server
    need ssh openssh-client
    need runuser util-linux
    need_package libclang-rt-14-dev
    need git git
    need nsd nsd
    need knotd knot
    need named bind9
    need dnssec-signzone bind9-utils
    need unbound unbound
    need pdns_recursor pdns-recursor
    need dnsmasq dnsmasq-base
    need dig bind9-dnsutils
    need kdig knot-dnsutils
    need drill ldnsutils
    need dnsperf dnsperf
    need rpcbind rpcbind
    need rpcgen rpcsvc-proto
    need_package libnsl-dev
    need_package libtirpc-dev
    need_package liblwip-dev
    need pkg-config pkg-config
    need nfs-cp libnfs-utils
    need showmount nfs-common
    need ganesha.nfsd nfs-ganesha
    need_package nfs-ganesha-vfs
    need chromium chromium
    # CPython's own tests, which Debian keeps in a package of their own; another Python has them, or nobody has.
    # It comes with a Python of just its build: where that is older, apt updates it.
    case ${python:-/usr/bin/} in /usr/bin/*) need_package libpython3.11-testsuite ;; esac
fi

if [ "$profile" = peers ]; then
    need wrk wrk
    need ethtool ethtool
    need_package liblwip-dev
    need go golang-go
    need_package golang-gvisor-gvisor-dev
fi

if [ -z "$missing" ]; then
    exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "bootstrap: missing, and only root on Debian can install it:$missing" >&2
    exit 0
fi

echo "bootstrap: installing$missing"
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt() {
    apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"
}
apt -q update
# shellcheck disable=SC2086  # a list of words
apt -q -y --no-install-recommends install $missing
