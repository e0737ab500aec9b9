"""Where things lie. The laboratory gives these paths private directories, so nothing takes another root."""

ETC = "/etc/ciao-wizard"
RUN = "/run/ciao-wizard"
STATE = "/var/lib/ciao-wizard"

PLAN_IN_FORCE = f"{ETC}/gateway.toml"
DNSMASQ_CONF = f"{ETC}/tenant_dns.cfg"
DNSMASQ_HOSTS = f"{ETC}/tenant_dns.hosts"
NAT_SCRIPT = f"{ETC}/nat.sh"
IDENTITY = f"{ETC}/identity.toml"
"""Which NICs the plan meant when it was applied: permanent MAC and bus path. A name is no identity."""
INTERFACES_MAIN = "/etc/network/interfaces"
INTERFACES_FILE = "/etc/network/interfaces.d/ciao-cluster"
SERVICE_NAME = "ciao-gateway.service"
SERVICE_FILE = f"/etc/systemd/system/{SERVICE_NAME}"
SERVICE_WANTED = f"/etc/systemd/system/multi-user.target.wants/{SERVICE_NAME}"
LEASES = "/var/lib/misc/tenant_dns.leases"

WRITTEN = (PLAN_IN_FORCE, DNSMASQ_CONF, DNSMASQ_HOSTS, NAT_SCRIPT, IDENTITY, INTERFACES_FILE, LEASES)
"""What an apply writes beside its journal and what runs."""

LIVE = f"{RUN}/live"
"""What runs now. A trial runs from here alone; what is kept is also written under ETC, the same but for this path."""
LIVE_PLAN = f"{LIVE}/gateway.toml"
LIVE_CONF = f"{LIVE}/tenant_dns.cfg"
LIVE_HOSTS = f"{LIVE}/tenant_dns.hosts"
LIVE_SCRIPT = f"{LIVE}/nat.sh"
LIVE_IDENTITY = f"{LIVE}/identity.toml"
LIVE_INTERFACES = f"{LIVE}/interfaces"
DNSMASQ_RUN = f"{RUN}/dnsmasq"
DNSMASQ_PID = f"{DNSMASQ_RUN}/tenant_dns.pid"
DNSMASQ_LOG = f"{RUN}/dnsmasq.log"
DNS_CONF = f"{LIVE}/dns.cfg"
"""The name server's options and what it reads: made by the guard from the live configuration, the leases and this
machine's resolver."""
DNS_NAMES = f"{LIVE}/dns.hosts"
DNS_SERVERS = f"{LIVE}/dns.servers"
DNS_LOG = f"{RUN}/dns.log"

PROBE_NIC, PROBE_NIC_PEER = "ciao-path", "ciao-path-peer"
"""A NIC of our own, while the guard runs: what it proves a node's path with. No cable is in it."""

LAB_MARKER = "/run/ciao-lab/marker"
"""There only inside the laboratory."""


def live(path: str) -> str:
    """The live twin of a file under ETC."""
    return path.replace(ETC, LIVE)
