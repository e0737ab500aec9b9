"""Every exported text, read by what it is for."""

import ast
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from netaddr import EUI, IPAddress, IPNetwork

from tests.needs import need
from wizard.cli.parser import EXPORTS
from wizard.plan.addresses import TENANTS, assign, overlap
from wizard.plan.draft.node_list import read_nodes
from wizard.plan.export.about import ABOUT
from wizard.plan.export.ciao import mesh_network
from wizard.plan.export.formats import FORMATS, RESERVED, CorporateSide, corporate_hosts_lines, corporate_side, export
from wizard.plan.fields import FieldError, parse_node_name
from wizard.plan.machine import Address, Facts, Nic, Route
from wizard.plan.model import Forward, Interfaces, Network, Node, Plan, Protocol, Role

CORPORATE = CorporateSide("10.77.0.98", (IPNetwork("10.77.0.0/24"),))
ROLES = [(Role.CONTROLLER,), (Role.NETWORK,), (Role.COMPUTE,), (Role.COMPUTE,), (Role.NETWORK, Role.COMPUTE)]


def plan_of(names: list[str], cidr: str = "192.168.0.0/24", ips: list[str | None] | None = None) -> Plan:
    """A plan with these nodes, of the roles of ROLES in turn."""
    nodes = tuple(
        Node(name, ROLES[n % len(ROLES)], EUI(0xB8AEED000000 + n), IPAddress(ip) if ip else None)
        for n, (name, ip) in enumerate(zip(names, ips or [None] * len(names), strict=True))
    )
    network = Network(IPNetwork(cidr), IPAddress(IPNetwork(cidr).last - 1))
    forwards = (
        Forward(8889, names[0], 8889),
        Forward(5000, names[0], 5000),
        Forward(53, names[1], 53, Protocol.UDP),
        Forward(99, "192.168.0.250", 99),
    )
    return Plan(Interfaces("eth0", "eth1"), network, nodes, forwards)


NAMES = ["controller", "network", "compute1", "compute2", "both"]
PLAN = plan_of(NAMES)
ADDRESSES = {node.name: str(node.ip) for node in assign(PLAN).nodes}


def is_name(text: str) -> bool:
    try:
        return parse_node_name(text) == text
    except FieldError:
        return False


labels = st.one_of(
    st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True),
    st.sampled_from(
        [*sorted(RESERVED - {"k3s_cluster"}), "0x1f", "1e3", "on", "no", "null", "true", "y", "12e03", "n0"]
    ),
).filter(is_name)
names = st.lists(labels, min_size=3, max_size=8, unique=True)


def ini(text: str) -> dict[str, dict[str, dict[str, Any]]]:
    """An Ansible inventory's groups: host -> variables, or for [x:vars] variable -> value under ""."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    group = ""
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if heading := re.fullmatch(r"\[([\w:]+)\]", line):
            group = heading[1]
            found[group] = {}
        elif group.endswith(":vars"):
            key, _, value = line.partition("=")
            found[group].setdefault("", {})[key] = value
        else:
            host, *pairs = line.split()
            found[group][host] = dict(pair.split("=", 1) for pair in pairs)
    return found


def inventory_name(name: str) -> str:
    return f"{name}.ciao.lan" if name in RESERVED else name


def test_the_command_line_names_the_formats() -> None:
    assert EXPORTS == tuple(FORMATS) == tuple(ABOUT)


@pytest.mark.parametrize("form", EXPORTS)
def test_a_text_ends_its_last_line_and_says_where_it_is_from(form: str) -> None:
    text = export(PLAN, form)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    # The readers of these two take no comment.
    assert form in ("csv", "prometheus") or "exported by ciao-wizard" in text.splitlines()[0]


def test_ansible_has_ciaos_groups_and_variables() -> None:
    groups = ini(export(PLAN, "ansible", CORPORATE))

    assert list(groups) == ["controllers", "networks", "computes", "all:vars"]
    assert {group: list(hosts) for group, hosts in groups.items() if ":" not in group} == {
        "controllers": ["controller"],
        "networks": ["network", "both"],
        "computes": ["compute1", "compute2", "both"],
    }
    told = groups["all:vars"][""]
    assert told["ciao_controller_fqdn"] == "controller.ciao.lan"
    assert told["ciao_controller_ip"] == ADDRESSES["controller"]
    assert ast.literal_eval(told["ciao_mgmt_subnets"]) == ["192.168.0.0/24"]


@given(names)
def test_ansible_places_every_node_under_a_name_that_is_no_groups(names: list[str]) -> None:
    plan = assign(plan_of(names))
    groups = ini(export(plan, "ansible"))
    told: dict[str, str] = {}
    for group, role in (("controllers", "controller"), ("networks", "network"), ("computes", "compute")):
        assert list(groups[group]) == [inventory_name(n.name) for n in plan.nodes if role in n.roles]
        told |= {host: pairs["ansible_host"] for host, pairs in groups[group].items() if pairs}
    assert told == {inventory_name(n.name): str(n.ip) for n in plan.nodes}
    assert not told.keys() & RESERVED


@given(names)
def test_k3s_yaml_says_the_same_to_a_yaml_reader(names: list[str]) -> None:
    plan = assign(plan_of(names))
    told = yaml.safe_load(export(plan, "k3s-ansible"))["k3s_cluster"]

    servers = {inventory_name(n.name): {"ansible_host": str(n.ip)} for n in plan.nodes if Role.CONTROLLER in n.roles}
    agents = {inventory_name(n.name): {"ansible_host": str(n.ip)} for n in plan.nodes if Role.CONTROLLER not in n.roles}
    assert told["children"] == {"server": {"hosts": servers}, "agent": {"hosts": agents}}
    assert told["vars"] == {"api_endpoint": str(plan.nodes[0].ip)}


@given(names)
def test_hosts_lines_are_addresses_and_names(names: list[str]) -> None:
    plan = assign(plan_of(names))
    lines = [line.split() for line in export(plan, "hosts").splitlines() if line and not line.startswith("#")]
    told = {words[0]: words[1:] for words in lines}
    assert {str(n.ip): [f"{n.name}.ciao.lan", n.name] for n in plan.nodes}.items() <= told.items()
    assert told["192.168.0.254"] == ["gateway.ciao.lan", "gateway"] or "gateway" in names


def test_corporate_users_get_a_line_for_each_machine_that_a_port_leads_to() -> None:
    assert corporate_hosts_lines(PLAN, CORPORATE) == [
        "10.77.0.98 controller.ciao.lan controller  # 8889, 5000",
        "10.77.0.98 network.ciao.lan network  # 53/udp",
    ]
    for form in ("hosts", "ssh-config", "ciao"):
        assert "# 10.77.0.98 controller.ciao.lan controller  # 8889, 5000\n" in export(PLAN, form, CORPORATE)
        blank = export(PLAN, form)
        assert "# GATEWAY-ADDRESS controller.ciao.lan controller" in blank
        assert "BLANK: GATEWAY-ADDRESS" in blank


needs_ssh = pytest.mark.usefixtures("ssh")


@pytest.fixture(scope="module")
def ssh() -> None:
    need("ssh")


def ssh_says(config: Path, host: str) -> dict[str, str]:
    done = subprocess.run(
        ["ssh", "-G", "-F", str(config), host], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    return {key: value for key, _, value in (line.partition(" ") for line in done.stdout.splitlines())}


@needs_ssh
@settings(max_examples=15, deadline=None)
@given(names)
def test_ssh_finds_each_node_behind_the_gateway_and_direct(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    plan = assign(plan_of(names))
    config = tmp_path_factory.mktemp("ssh") / "config"
    config.write_text(export(plan, "ssh-config", CORPORATE))
    node = plan.nodes[-1]
    for host in (node.name, f"{node.name}.ciao.lan"):
        told = ssh_says(config, host)
        assert (told["hostname"], told["proxyjump"]) == (str(node.ip), "ciao-gateway")
    direct = ssh_says(config, f"{node.name}.direct")
    assert direct["hostname"] == str(node.ip)
    assert "proxyjump" not in direct
    assert direct["hostkeyalias"] == told["hostkeyalias"]
    jump = ssh_says(config, "ciao-gateway")
    assert jump["hostname"] == "10.77.0.98"
    assert "proxyjump" not in jump


@needs_ssh
def test_the_gateways_name_in_ssh_is_never_a_nodes(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(export(plan_of(["ciao-gateway", "ciao-gateway2", "x"]), "ssh-config", CORPORATE))
    assert ssh_says(config, "ciao-gateway")["proxyjump"] == "ciao-gateway3"
    assert ssh_says(config, "ciao-gateway3")["hostname"] == "10.77.0.98"


def test_ciaos_configuration_has_the_networks_and_blanks_and_no_secrets() -> None:
    text = export(PLAN, "ciao", CORPORATE)
    told = yaml.safe_load(text)["configure"]

    assert told["launcher"]["mgmt_net"] == told["launcher"]["compute_net"] == ["192.168.0.0/24"]
    assert told["launcher"]["disk_limit"] is False
    assert told["controller"]["cnci_net"] == "192.168.128.0"
    blanks = {key for part in told.values() for key, value in part.items() if value == ""}
    assert blanks == {
        "compute_ca",
        "compute_cert",
        "client_auth_ca_cert_path",
        "admin_ssh_key",
        "ceph_id",
        "child_user",
    }
    assert {
        re.split(r'[:"]', line.strip())[0] for line in text.splitlines() if "# BLANK" in line and '""' in line
    } == blanks
    assert f"--server-ip {ADDRESSES['controller']} --cnci-net 192.168.128.0" in text


@given(
    st.integers(8, 29).flatmap(
        lambda prefix: st.sampled_from(["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]).flatmap(
            lambda block: st.integers(0, 2**16).map(
                lambda n: next(iter([IPNetwork((IPNetwork(block).first + n * 256, max(prefix, 16))).cidr]))
            )
        )
    ),
    st.lists(st.sampled_from(["192.168.0.0/16", "10.0.0.0/8", "10.192.0.0/10"]), max_size=3),
)
def test_the_mesh_network_is_clear_of_cluster_and_tenants(cidr: IPNetwork, busy: list[str]) -> None:
    plan = plan_of(NAMES, str(cidr)) if cidr.size >= 32 else PLAN
    mesh = mesh_network(plan, [IPNetwork(each) for each in busy])
    assert mesh.prefixlen == 18
    assert not overlap(mesh, plan.network.cidr)
    assert not overlap(mesh, TENANTS)


def test_the_mesh_network_avoids_what_the_company_uses() -> None:
    busy = [IPNetwork("192.168.128.0/20"), IPNetwork("192.168.192.0/24")]
    assert str(mesh_network(PLAN, busy)) == "192.168.64.0/18"
    assert str(mesh_network(PLAN, [IPNetwork("192.168.0.0/16")])).startswith("10.")


@given(
    st.lists(labels | st.sampled_from([*map(str, Role), "aabbccddeeff", "mac"]), min_size=3, max_size=8, unique=True)
)
@example(["network", "compute", "controller"])
@example(["aabbccddeeff", "mac", "name"])
def test_csv_is_read_back_by_the_import(names: list[str]) -> None:
    """A node may be called like a role, like a MAC or like a heading."""
    plan = assign(plan_of(names))
    reading = read_nodes(export(plan, "csv"))

    assert reading.skipped_rows == ()
    assert [(n.name, n.mac, n.ip) for n in reading.nodes] == [
        (n.name, ":".join(f"{int(n.mac):012x}"[i : i + 2] for i in range(0, 12, 2)), str(n.ip)) for n in plan.nodes
    ]
    assert [{role.strip() for role in n.role.split(",")} for n in reading.nodes] == [set(n.roles) for n in plan.nodes]


def test_csv_of_the_guides_names_is_read_back() -> None:
    # A machine called what it is.
    reading = read_nodes(export(PLAN, "csv"))
    assert [(n.name, n.ip) for n in reading.nodes] == list(ADDRESSES.items())


def test_colleagues_get_lines_for_their_hosts_file() -> None:
    lines = export(PLAN, "corporate-hosts", CORPORATE).splitlines()
    assert lines[2:] == corporate_hosts_lines(PLAN, CORPORATE)
    unknown = export(PLAN, "corporate-hosts").splitlines()
    assert unknown[2].startswith("# BLANK: GATEWAY-ADDRESS is")
    nobody = export(replace(PLAN, forwards=()), "corporate-hosts", CORPORATE).splitlines()
    assert all(line.startswith("#") for line in nobody)


def test_every_suggested_file_name_is_another() -> None:
    files = [file for file, _ in ABOUT.values()]
    assert len(set(files)) == len(files)
    assert all(about and len(about) <= 57 for _, about in ABOUT.values())


def test_surroundings_are_told_only_by_a_machine_with_both_nics() -> None:
    eth0 = Nic("eth0", 2, "ethernet", addresses=(Address(IPNetwork("10.77.0.98/24"), True),))
    routes = (Route(IPNetwork("0.0.0.0/0"), "eth0", "10.77.0.1"), Route(IPNetwork("10.8.0.0/16"), "eth0"))
    both = Facts((eth0, Nic("eth1", 3, "ethernet", addresses=(Address(IPNetwork("192.168.0.200/24")),))), routes)

    told = corporate_side(PLAN, both)
    assert told.address == "10.77.0.98"
    assert set(map(str, told.networks)) == {"10.77.0.0/24", "10.8.0.0/16"}
    assert corporate_side(PLAN, Facts((eth0,), routes)) == CorporateSide()
