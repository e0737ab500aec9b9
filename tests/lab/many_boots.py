"""Many nodes that boot over the network at once, and nginx on the same wire to compare with: for tests and bench."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.lab.guarding import await_mode
from tests.lab.support import EXAMPLE, HERE, apply, ciao
from tests.lab.unpacked import unpacked
from wizard.lab.control import Laboratory
from wizard.plan import paths

GATEWAY = "192.168.0.200"
URL = f"http://{GATEWAY}:8069"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBxRkm0q8u2uLGyIpVSWhVYpVtV4b0pZ1vS8o0Q8mJwG me@laptop\n"
LOADER_SIZE = 100_000
# The packet filter lets it in, and nobody has it in the laboratory.
OTHER_PORT = 22
NGINX = """
daemon off; user root; worker_processes 1; pid {place}/pid; error_log {place}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log {place}/access.log; sendfile on; tcp_nopush on;
    client_body_temp_path {place}/a; proxy_temp_path {place}/b;
    fastcgi_temp_path {place}/c; uwsgi_temp_path {place}/d; scgi_temp_path {place}/e;
    server {{ listen {address}:{port}; root {root}; }}
}}
"""


def names(count: int) -> list[str]:
    return [f"b{number}" for number in range(count)]


def mac_of(name: str) -> str:
    return f"00:16:3e:00:01:{int(name[1:]):02x}"


def ip_of(name: str) -> str:
    return f"192.168.0.{10 + int(name[1:])}"


@contextmanager
def rack(count: int, initrd_bytes: int) -> Iterator[Laboratory]:
    """A gateway, and that many machines with an image to boot; all are armed, and none has asked yet."""
    nodes = "".join(
        f'\n[[nodes]]\nname = "{name}"\nrole = "compute"\nmac = "{mac_of(name)}"\nip = "{ip_of(name)}"\n'
        for name in names(count)
    )
    image = '\n[[images]]\nname = "tiny"\nkind = "custom"\nseed = "preseed"\n'
    with Laboratory() as lab:
        make = f"cd /run/ciao-lab; head -c 9000000 /dev/zero >linux; head -c {initrd_bytes} /dev/zero >initrd; cat >key"
        lab.run(["sh", "-ec", make], input=KEY)
        files = ["--kernel", "/run/ciao-lab/linux", "--initrd", "/run/ciao-lab/initrd"]
        assert ciao(lab, "image", "add", "tiny", *files, "--kind", "custom").returncode == 0
        loader = f"mkdir -p {paths.BOOT_LOADERS}; head -c {LOADER_SIZE} /dev/zero >{paths.BOOT_LOADERS}/undionly.kpxe"
        lab.run(["sh", "-ec", loader])
        apply(lab, EXAMPLE.read_text() + nodes + image)
        await_mode(lab, "armed")
        for name in names(count):
            lab.machine("add", name, "--mac", mac_of(name), "--no-dhcp")
        arm(lab, count)
        yield lab


def arm(lab: Laboratory, count: int, *more: str) -> None:
    done = ciao(lab, "boot", "arm", *names(count), "--image", "tiny", "--ssh-key", "/run/ciao-lab/key", *more)
    assert done.returncode == 0, done.stderr
    lab.wait_for(lambda: f"{GATEWAY}:8069" in lab.run(["ss", "-Hltn"]).stdout, 30, "the server")


def boot_all(lab: Laboratory, count: int) -> dict[str, Any]:
    """What each came to, see netboot_actors.py boot; all begin at once."""
    script = [sys.executable, str(HERE / "netboot_actors.py"), "boot", "eth0"]
    begun = {
        name: lab.popen([*script, mac_of(name)], netns=name, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for name in names(count)
    }
    found = {}
    for name, process in begun.items():
        said, failure = process.communicate(timeout=300)
        assert process.returncode == 0, failure
        found[name] = json.loads(said)
    return found


def fetch_all(lab: Laboratory, count: int, url: str) -> int:
    """Bytes that all of them have fetched, at once."""
    one = f"curl -sf -o /dev/null -w '%{{size_download}}\\n' {shlex.quote(url)}"
    all_of_them = "; ".join(f"ip netns exec {name} {one} &" for name in names(count)).replace("&;", "&")
    return sum(map(int, lab.run(["sh", "-c", f"{all_of_them} wait"], timeout=300).stdout.split()))


def have_addresses(lab: Laboratory, count: int) -> None:
    """Without asking: for `fetch_all`."""
    for name in names(count):
        lab.run(["ip", "address", "replace", f"{ip_of(name)}/24", "dev", "eth0"], netns=name)


@contextmanager
def nginx(lab: Laboratory, root: str) -> Iterator[str]:
    """Debian's nginx-light, unpacked, for the files below `root`; its URL."""
    found = unpacked("nginx-light")
    place = "/run/ciao-lab/nginx"
    conf = NGINX.format(place=place, address=GATEWAY, port=OTHER_PORT, root=root)
    lab.run(["sh", "-ec", f"mkdir -p {place}; cat >{place}/conf"], input=conf)
    argv = [found.program("nginx"), "-c", f"{place}/conf", "-e", f"{place}/error.log"]
    with lab.popen(argv, env=found.env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            lab.wait_for(lambda: f"{GATEWAY}:{OTHER_PORT}" in lab.run(["ss", "-Hltn"]).stdout, 20, "nginx")
            yield f"http://{GATEWAY}:{OTHER_PORT}"
        finally:
            process.terminate()


def pss_mib(lab: Laboratory, pattern: str) -> float:
    """Memory of the laboratory's processes with this in their command line, shared pages divided; 0 once they ended."""
    pids = lab.run(["pgrep", "-f", pattern], check=False).stdout.split()
    total = 0
    for pid in pids:
        text = lab.run(["cat", f"/proc/{pid}/smaps_rollup"], check=False).stdout
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total / 1024


def image_directory() -> str:
    return str(Path(paths.IMAGES) / "tiny")
