#!/bin/sh
# make_root.sh ROOT [PICAMERA2_VERSION]: a Debian 13 in which tests/edge/test_virtual_csi.py can run
# real picamera2 on real libcamera. Needs root, debootstrap, python3 and the network; 1.6 GB, 2
# minutes. An existing ROOT is completed; another version replaces the one that is there.
set -eu
root=${1:?usage: make_root.sh ROOT [PICAMERA2_VERSION]} version=${2:-0.3.36}
setup=$(cd "$(dirname "$0")/../../.." && pwd)/setup.cfg
if ! [ -e "$root/etc/debian_version" ]; then
    debootstrap --variant=minbase --include=ca-certificates trixie "$root" \
        "${MIRROR:-http://deb.debian.org/debian}"
fi
# This machine's way to the network: its name servers, and certificates that a proxy may need.
cp /etc/resolv.conf "$root/etc/resolv.conf"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
mkdir -p "$root/opt/vcam"
python3 -c '
import configparser, sys
config = configparser.ConfigParser()
config.read(sys.argv[1])
print(config["options"]["install_requires"])
' "$setup" >"$root/opt/vcam/requirements.txt"
# gcc, python3-dev and libcap-dev build python-prctl, which picamera2 needs.
chroot "$root" env DEBIAN_FRONTEND=noninteractive sh -eu -c '
apt-get update -q >/dev/null
apt-get install -y -q --no-install-recommends libcamera-tools libcamera-ipa python3-libcamera \
    python3-venv python3-dev gcc libc6-dev linux-libc-dev libcap-dev >/dev/null
cd /opt/vcam
[ -x venv/bin/python ] || python3 -m venv --system-site-packages venv
venv/bin/pip install -q "picamera2==$0" psutil -r requirements.txt
' "$version"
echo "Made. Run the tests with: FER_EDGE_TRIXIE_ROOT=$root python -m pytest -m virtual_csi"
