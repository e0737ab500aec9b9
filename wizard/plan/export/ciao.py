"""Plan -> ciao's configuration.yaml. The wizard knows its networks; the rest are marked blanks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from netaddr import IPNetwork

from wizard.plan.addresses import overlap
from wizard.plan.model import Plan, Role

MESH_PREFIX = 18
"""ciao uses a /18 from the address in `cnci_net` for the tunnels between CNCIs."""
_FIRST_CHOICES = ("192.168.128.0", "192.168.192.0", "192.168.64.0", "192.168.0.0")


def mesh_network(plan: Plan, busy: Iterable[IPNetwork] = ()) -> IPNetwork:
    """A /18 for `cnci_net` that overlaps neither the cluster, nor the tenants' 172.16.0.0/12, nor `busy`.

    ciao's own default, 192.168.0.0, lies over the guide's cluster. Where all is taken, `busy` is disregarded.
    """
    must = [plan.network.cidr]
    should = [*must, *busy]
    for taken in (should, must):
        for candidate in _candidates():
            if not any(overlap(candidate, other) for other in taken):
                return candidate
    return IPNetwork(f"{_FIRST_CHOICES[0]}/{MESH_PREFIX}")


def _candidates() -> Iterator[IPNetwork]:
    """All /18s to try, none of them in the tenants' network."""
    for first in _FIRST_CHOICES:
        yield IPNetwork(f"{first}/{MESH_PREFIX}")
    yield from reversed(list(IPNetwork("10.0.0.0/8").subnet(MESH_PREFIX)))


def lines(plan: Plan, busy: Iterable[IPNetwork] = ()) -> list[str]:
    """The lines of configuration.yaml and, as comments, the equivalent ciao-deploy commands."""
    mesh = mesh_network(plan, busy)
    nets = json.dumps([str(plan.network.cidr)])
    controller = next(node for node in plan.nodes if Role.CONTROLLER in node.roles)
    return [
        "# For /etc/ciao/configuration.yaml on the controller alone: launchers are told by the scheduler.",
        "# ciao refuses it as long as the marked blanks are empty. No private key belongs in here.",
        "configure:",
        "  scheduler:",
        '    storage_uri: "/etc/ciao/configuration.yaml"',
        "  storage:",
        '    ceph_id: ""  # BLANK: the user of your Ceph cluster',
        "  controller:",
        '    compute_ca: ""  # BLANK: path of the CA certificate on the controller',
        '    compute_cert: ""  # BLANK: path of the API certificate on the controller',
        '    client_auth_ca_cert_path: ""  # BLANK: path of the CA certificate that clients are checked against',
        '    admin_ssh_key: ""  # BLANK: your public key, to get onto CNCIs as cloud-admin',
        "    ciao_port: 8889",
        f"    # {mesh}: clear of the cluster's {plan.network.cidr}; ciao's own default is 192.168.0.0.",
        f'    cnci_net: "{mesh.network}"',
        "    cnci_vcpus: 4",
        "    cnci_mem: 2048",
        "    cnci_disk: 2048",
        "  launcher:",
        f"    compute_net: {nets}",
        f"    mgmt_net: {nets}",
        "    disk_limit: false",
        "    mem_limit: true",
        '    child_user: ""  # BLANK: the user that instances run as, such as ciao',
        *_deploy_comments(plan, mesh, str(controller.ip)),
    ]


def _deploy_comments(plan: Plan, mesh: IPNetwork, server: str) -> list[str]:
    """ciao-deploy, run on the controller, writes this file itself and installs the nodes over ssh."""
    cidr = plan.network.cidr
    networks = [str(n.ip) for n in plan.nodes if Role.NETWORK in n.roles and Role.CONTROLLER not in n.roles]
    computes = [str(n.ip) for n in plan.nodes if n.roles == (Role.COMPUTE,)]
    found = [
        "",
        "# The same by ciao's own installer, on the controller (needs an ssh agent, and sudo without password):",
        f"# ciao-deploy setup --mgmt-net {cidr} --compute-net {cidr} --server-ip {server} --cnci-net {mesh.network} \\",
        "#     --https-ca-cert BLANK --https-cert BLANK",
    ]
    found += [f"# ciao-deploy join --network {address}" for address in networks]
    return [*found, f"# ciao-deploy join {' '.join(computes)}"] if computes else found
