#!/bin/sh
# A message of syslog without a time, such as "<34>disk is full", is valid in RFC 3164, whose section
# 4.3.2 has a relay add the time and the sender's host. rsyslog (8.2302) takes the first word for the
# host and the second for the program. syslog-ng takes the first word for the program, and the sender
# for the host. Debian's packages, on Debian 12.
set -eu
folder=$(mktemp -d)
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq rsyslog=8.2302.0-1+deb12u2 libestr0 libfastjson4 liblognorm5 \
    syslog-ng-core=3.38.1-5+deb12u1 libivykis0 libnet1 libwrap0 2>/dev/null
for package in *.deb; do dpkg -x "$package" .; done
LD_LIBRARY_PATH=$(echo "$folder"/usr/lib/*-linux-gnu):$folder/usr/lib/syslog-ng
export LD_LIBRARY_PATH
timeout 60 python3 - <<'PYTHON'
import glob, os, socket, subprocess, sys, time

folder = os.getcwd()
rsyslogd, syslog_ng = f"{folder}/usr/sbin/rsyslogd", f"{folder}/usr/sbin/syslog-ng"
print(subprocess.check_output([rsyslogd, "-v"], text=True).splitlines()[0])
ng_modules = glob.glob(f"{folder}/usr/lib/syslog-ng/[0-9]*")[0]
print(subprocess.check_output([syslog_ng, "-V", f"--module-path={ng_modules}"],
                              text=True).splitlines()[0])

def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

RSYSLOG, SYSLOG_NG = free_port(), free_port()
with open("rsyslog.conf", "w") as file:
    file.write(f"""
module(load="imudp")
input(type="imudp" address="127.0.0.1" port="{RSYSLOG}")
template(name="fields" type="string" string="%hostname%|%app-name%|%msg%\\n")
action(type="omfile" file="{folder}/rsyslog" template="fields")
""")
with open("syslog-ng.conf", "w") as file:
    file.write(f"""@version: 3.38
options {{ keep-hostname(yes); use-dns(no); stats-freq(0); }};
source in {{ network(ip("127.0.0.1") transport("udp") port({SYSLOG_NG})); }};
destination out {{ file("{folder}/syslog-ng" template("$HOST|$PROGRAM|$MSG\\n")); }};
log {{ source(in); destination(out); }};
""")
programs = [
    subprocess.Popen([rsyslogd, "-n", "-M", glob.glob(f"{folder}/usr/lib/*/rsyslog")[0],
                      "-f", f"{folder}/rsyslog.conf", "-i", f"{folder}/rsyslog.pid"],
                     stderr=subprocess.DEVNULL),
    subprocess.Popen([syslog_ng, "--foreground", "--no-caps", f"--module-path={ng_modules}",
                      "-f", f"{folder}/syslog-ng.conf", "-R", f"{folder}/persist",
                      "-p", f"{folder}/syslog-ng.pid", "-c", f"{folder}/control"],
                     stderr=subprocess.DEVNULL),
]

def first(name, port):
    """Send datagrams until one arrives; return what was written of it."""
    deadline = time.monotonic() + 15
    while not (os.path.exists(name) and os.path.getsize(name)):
        if time.monotonic() > deadline:
            sys.exit(f"{name} has received nothing")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"<34>disk is full", ("127.0.0.1", port))
        time.sleep(0.2)
    with open(name) as file:
        return file.readline().rstrip()

try:
    seen = {"rsyslog": first("rsyslog", RSYSLOG), "syslog-ng": first("syslog-ng", SYSLOG_NG)}
finally:
    for program in programs:
        program.terminate()
        program.wait()
for name, fields in seen.items():
    host, program, text = fields.split("|")
    print(f"{name}: host {host!r}, program {program!r}, text {text!r}")
sys.exit(seen != {"rsyslog": "disk|is| full", "syslog-ng": "127.0.0.1|disk|is full"})
PYTHON
