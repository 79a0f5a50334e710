#!/bin/sh
# Over TCP, Python's SysLogHandler ends each message with NUL and nothing else (append_nul, which is
# meant for datagrams). rsyslog (8.2302) ends messages of a stream at newlines, so that it takes all
# that a program logs for one message, with "#000<14>" in its middle: the priorities are text, and an
# error counts as what came first. syslog-ng's network() ends messages at NUL too. rsyslog does so with
# AddtlFrameDelimiter="0". Debian's packages, on Debian 12.
set -eu
folder=$(mktemp -d)
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq rsyslog=8.2302.0-1+deb12u2 libestr0 libfastjson4 liblognorm5 2>/dev/null
for package in *.deb; do dpkg -x "$package" .; done
LD_LIBRARY_PATH=$folder/$(dirname "$(find . -name 'libfastjson.so.4' | head -1)")
export LD_LIBRARY_PATH
timeout 60 python3 - <<'PYTHON'
import glob, logging, os, socket, subprocess, sys, time
from logging.handlers import SysLogHandler

folder = os.getcwd()
rsyslogd = f"{folder}/usr/sbin/rsyslogd"
modules = glob.glob(f"{folder}/usr/lib/*/rsyslog")[0]
print(subprocess.check_output([rsyslogd, "-v"], text=True).splitlines()[0])
print("Python", sys.version.split()[0])
with socket.create_server(("127.0.0.1", 0)) as probe:
    port = probe.getsockname()[1]
with open("rsyslog.conf", "w") as file:
    file.write(f"""
module(load="imtcp")
input(type="imtcp" address="127.0.0.1" port="{port}")
template(name="fields" type="string" string="%syslogseverity-text%|%rawmsg%\\n")
action(type="omfile" file="{folder}/received" template="fields")
""")
process = subprocess.Popen(
    [rsyslogd, "-n", "-M", modules, "-f", f"{folder}/rsyslog.conf", "-i", f"{folder}/pid"],
    stderr=subprocess.DEVNULL,
)
try:
    deadline = time.monotonic() + 15
    while True:
        try:
            handler = SysLogHandler(("127.0.0.1", port), socktype=socket.SOCK_STREAM)
            break
        except OSError:
            if time.monotonic() > deadline:
                sys.exit("rsyslog does not listen: nothing can be seen")
            time.sleep(0.1)
    log = logging.getLogger("app")
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    log.info("app: started")
    log.error("app: the disk is full")
    handler.close()
    while not (os.path.exists("received") and os.path.getsize("received")):
        if time.monotonic() > deadline:
            sys.exit("nothing was received")
        time.sleep(0.1)
    time.sleep(0.5)
    with open("received") as file:
        lines = file.read().splitlines()
finally:
    process.terminate()
    process.wait()
print(*lines, sep="\n")
sys.exit(lines != ["info|<14>app: started#000<11>app: the disk is full"])
PYTHON
