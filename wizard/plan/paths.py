"""Paths on the machine. The laboratory mounts private directories there, so no function takes another root."""

ETC = "/etc/ciao-wizard"
RUN = "/run/ciao-wizard"
STATE = "/var/lib/ciao-wizard"

PLAN_IN_FORCE = f"{ETC}/gateway.toml"
DNSMASQ_CONF = f"{ETC}/tenant_dns.cfg"
DNSMASQ_HOSTS = f"{ETC}/tenant_dns.hosts"
NAT_SCRIPT = f"{ETC}/nat.sh"
IDENTITY = f"{ETC}/identity.toml"
"""Permanent MAC and bus path of the NICs that the plan was applied to. A name is no identity."""
INTERFACES_MAIN = "/etc/network/interfaces"
INTERFACES_FILE = "/etc/network/interfaces.d/ciao-cluster"
NETWORKMANAGER_FILE = "/etc/NetworkManager/system-connections/ciao-cluster.nmconnection"
NETWORKD_FILE = "/etc/systemd/network/04-ciao-cluster.network"
NETPLAN_FILE = "/etc/netplan/90-ciao-cluster.yaml"
NETPLAN_MAKES = "/run/systemd/network/10-netplan-0-ciao-cluster.network"
"""What netplan makes of that at boot, for networkd."""
ADDRESS_FILE = f"{ETC}/address"
"""The cluster NIC's address, where no network manager sets it."""
SERVICE_NAME = "ciao-gateway.service"
SERVICE_FILE = f"/etc/systemd/system/{SERVICE_NAME}"
SERVICE_WANTED = f"/etc/systemd/system/multi-user.target.wants/{SERVICE_NAME}"
LEASES = "/var/lib/misc/tenant_dns.leases"

WRITTEN = (PLAN_IN_FORCE, DNSMASQ_CONF, DNSMASQ_HOSTS, NAT_SCRIPT, IDENTITY, LEASES)
"""Files that every apply writes, besides its journal, the live ones and that of the cluster NIC's address."""

IMAGES = "/var/lib/ciao-wizard-images"
"""What nodes boot. Not under STATE: that is root's alone, is damaged without a journal, and goes with a reset."""

BOOT_LOADERS = f"{IMAGES}/.loaders"
"""The first stage of a boot over the network: what firmware fetches by TFTP."""
ARMED = f"{STATE}/armed.json"
"""Who may boot what, and all that they may fetch. Seeds may hold secrets: root's alone."""
NETBOOT_LOG = f"{RUN}/netboot.log"

LIVE = f"{RUN}/live"
"""The running configuration. A trial exists here alone; a kept one also under ETC, where only this path differs."""
LIVE_PLAN = f"{LIVE}/gateway.toml"
LIVE_CONF = f"{LIVE}/tenant_dns.cfg"
LIVE_HOSTS = f"{LIVE}/tenant_dns.hosts"
LIVE_SCRIPT = f"{LIVE}/nat.sh"
LIVE_IDENTITY = f"{LIVE}/identity.toml"
LIVE_INTERFACES = f"{LIVE}/interfaces"
LIVE_NETWORKMANAGER_FILE = "/run/NetworkManager/system-connections/ciao-cluster.nmconnection"
LIVE_NETWORKD_FILE = "/run/systemd/network/04-ciao-cluster-trial.network"
"""Not the kept file's name: of two files of one name networkd reads that under /etc alone."""
LIVE_ADDRESS_FILE = f"{LIVE}/address"
DNSMASQ_RUN = f"{RUN}/dnsmasq"
DNSMASQ_PID = f"{DNSMASQ_RUN}/tenant_dns.pid"
DNSMASQ_LOG = f"{RUN}/dnsmasq.log"
DNS_CONF = f"{LIVE}/dns.cfg"
"""The name server's options and what it reads: made by the guard from the live configuration, the leases and this
machine's resolver."""
DNS_NAMES = f"{LIVE}/dns.hosts"
DNS_SERVERS = f"{LIVE}/dns.servers"
DNS_LOG = f"{RUN}/dns.log"
NETBOOT_SERVED = f"{LIVE}/netboot.json"
"""Those of ARMED that the plan still has, for the netboot server, which may read it."""
NETBOOT_HOSTS = f"{LIVE}/netboot.hosts"
"""The reservations with the tags of the armed: made by the guard from those of the plan."""

PROBE_NIC, PROBE_NIC_PEER = "ciao-path", "ciao-path-peer"
"""A NIC of our own, while the guard runs: the path prober injects its frames through it. No cable is in it."""

LAB_MARKER = "/run/ciao-lab/marker"
"""Exists only inside the laboratory."""


def live(path: str) -> str:
    """The live twin of a file under ETC."""
    return path.replace(ETC, LIVE)
