"""Clusters that are not ciao's: free roles, machines with several NICs, devices."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from netaddr import EUI, IPAddress

from tests.needs import need
from wizard.host.dhcp.dnsmasq import conflicts, refused_line
from wizard.plan import paths
from wizard.plan.addresses import assign
from wizard.plan.dhcp_options import NAMES, parse_value
from wizard.plan.draft.adopt import adopt, propose_adoption
from wizard.plan.draft.check import draft_findings, macs_of
from wizard.plan.draft.model import Draft, NodeText, dump_draft, load_draft, readdressed
from wizard.plan.draft.node_list import merge_nodes, read_nodes, suggest_role
from wizard.plan.export.formats import CorporateSide, export, exports
from wizard.plan.fields import FieldError, format_mac
from wizard.plan.file.read import load_plan
from wizard.plan.file.write import dump_plan
from wizard.plan.findings import Severity, WizardError
from wizard.plan.machine import Facts, Listener
from wizard.plan.machine_lists import read_list
from wizard.plan.model import ClusterKind, Device, DhcpOption, Forward, Node, Plan, Protocol
from wizard.plan.names import full_name, hosts, record_options, servers_file
from wizard.plan.render import render
from wizard.plan.rules.check import check, check_plan
from wizard.plan.targets import option_lines

TEXT = Path(__file__).with_name("rack.toml").read_text()
RACK = load_plan(TEXT, "rack.toml")
NODES = {node.name: node for node in RACK.nodes}


def test_what_the_plan_says() -> None:
    assert RACK.kind is ClusterKind.K3S
    assert [node.roles for node in RACK.nodes] == [("server",), ("agent", "gpu"), ()]
    assert [str(mac) for mac in NODES["server1"].macs] == ["b8:ae:ed:7b:51:50", "00:e0:4c:00:00:01"]
    assert [machine.name for machine in RACK.machines] == ["server1", "agent1", "spare", "switch", "bmc"]


def test_it_has_no_errors_and_nothing_of_ciaos() -> None:
    found = {finding.code for finding in check_plan(RACK)}
    assert not found & {"role-missing", "mesh-overlap", "subnet-in-tenant-range", "forward-scheduler"}
    assert not [finding for finding in check_plan(RACK) if finding.severity is Severity.ERROR]


def test_a_plan_without_the_keys_is_ciaos(example: str) -> None:
    plan = load_plan(example, "ciao.toml")
    assert (plan.kind, plan.devices) == (ClusterKind.CIAO, ())
    assert not any(node.other_macs for node in plan.nodes)
    assert "[cluster]" not in dump_plan(plan)


def test_it_is_written_as_it_was_read() -> None:
    assert load_plan(dump_plan(RACK), "written") == RACK
    assert dump_plan(RACK, TEXT) == TEXT


def test_an_edit_keeps_the_comments() -> None:
    printer = Device("printer", EUI("00:1b:a9:00:00:01"), IPAddress("10.44.0.240"))
    changed = replace(RACK, kind=ClusterKind.TALOS, devices=(*RACK.devices, printer))
    text = dump_plan(changed, TEXT)
    assert load_plan(text, "edited") == changed
    assert "# onboard, and the USB adapter" in text
    assert text.startswith("# A rack that is not ciao's")


def test_another_kind_in_a_file_that_had_none(example: str) -> None:
    plan = replace(load_plan(example, "ciao.toml"), kind=ClusterKind.PLAIN)
    text = dump_plan(plan, example)
    assert load_plan(text, "edited") == plan
    assert "# leads to the company's network" in text


def test_a_device_keeps_its_address_when_nodes_come() -> None:
    before = {device.name: str(device.ip) for device in assign(RACK).devices}
    assert before == {"switch": "10.44.0.250", "bmc": "10.44.0.254"}
    more = tuple(Node(f"n{number}", (), EUI(0xC03FD5000000 + number)) for number in range(100))
    after = assign(replace(RACK, nodes=(*RACK.nodes, *more)))
    assert {device.name: str(device.ip) for device in after.devices} == before
    assert len({machine.ip for machine in after.machines}) == len(after.machines)


def test_devices_have_names_too() -> None:
    assert "10.44.0.250 switch.ciao.lan switch" in hosts(RACK, "", 0)


def test_a_draft_is_the_plan_and_back() -> None:
    draft = Draft.from_plan(RACK)
    assert draft.to_plan() == RACK
    assert load_draft(dump_draft(draft)) == draft
    assert draft.nodes[0].mac == "b8:ae:ed:7b:51:50, 00:e0:4c:00:00:01"


def test_a_draft_of_an_earlier_version_is_ciaos(example: str) -> None:
    data = json.loads(dump_draft(Draft.from_plan(load_plan(example, "ciao.toml"))))
    del data["kind"], data["sections"]
    draft = load_draft(json.dumps(data))
    assert draft is not None
    assert draft.to_plan() == load_plan(example, "ciao.toml")


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"kind": "k8s"}, "cluster.kind", "ciao, k3s"),
        ({"kind": "ciao"}, "nodes[0].role", "controller, network or compute"),
        ({"sections": "[[devices]"}, "TOML", "key = value"),
        ({"sections": '[[devices]]\nname = "a b"\nmac = "00:0c:42:00:00:01"'}, "devices[0].name", "Line 2"),
        ({"sections": "[network]"}, "network", "Here belong devices"),
    ],
)
def test_a_draft_says_where_it_is_wrong(change: dict[str, Any], field: str, says: str) -> None:
    found = draft_findings(replace(Draft.from_plan(RACK), **change), None)
    told = [f"{finding.message} {finding.remedy}" for finding in found if finding.field == field]
    assert told
    assert says in told[0]


def test_devices_move_with_the_subnet() -> None:
    moved = readdressed(replace(Draft.from_plan(RACK), cidr="172.30.5.0/24"), "10.44.0.0/24")
    plan = moved.to_plan()
    assert isinstance(plan, Plan)
    assert str(plan.devices[0].ip) == "172.30.5.250"


def test_roles_that_are_suggested() -> None:
    assert suggest_role((), kind=ClusterKind.K3S) == "server"
    assert suggest_role([NodeText("server")], kind=ClusterKind.K3S) == "agent"
    assert suggest_role((), "big-worker-7", ClusterKind.TALOS) == "worker"
    assert suggest_role((), kind=ClusterKind.PLAIN) == ""


def test_a_list_of_machines_for_another_kind() -> None:
    read = read_nodes("b8:ae:ed:00:00:09\nserver7 b8:ae:ed:00:00:0a", kind=ClusterKind.K3S).nodes
    assert [(node.name, node.role) for node in read] == [("agent1", "agent"), ("server7", "server")]


def test_a_list_with_a_second_mac_changes_the_machine_that_has_it() -> None:
    old = Draft.from_plan(RACK).nodes
    known = {"00:e0:4c:00:00:01": old[0]}
    merged = merge_nodes(old, read_nodes("00:e0:4c:00:00:01 10.44.0.99", known=known, kind=ClusterKind.K3S))
    assert (merged.new, merged.changed) == (0, 1)
    assert merged.nodes[0] == replace(old[0], ip="10.44.0.99")


def test_a_stranger_is_adopted_with_a_label() -> None:
    proposal = propose_adoption(TEXT, "00:16:3e:00:00:01")
    assert (proposal.name, proposal.role, proposal.kind) == ("agent2", "agent", ClusterKind.K3S)
    grown = load_plan(adopt(TEXT, proposal.mac, "worker9", "agent, edge"), "grown")
    assert grown.nodes[-1].roles == ("agent", "edge")
    with pytest.raises(WizardError, match="already: server1"):
        adopt(TEXT, "00:e0:4c:00:00:01", "another", "agent")


def test_groups_of_ansible_are_the_roles() -> None:
    text = export(RACK, "ansible")
    groups = {part.split("]")[0]: part.split("]")[1] for part in text.split("[")[1:]}
    assert list(groups) == ["server", "agent", "gpu", "ungrouped", "all:vars"]
    # A play for all would run on a switch.
    assert "# switch 10.44.0.250" in text
    assert "ansible_host=10.44.0.10" in groups["server"]
    assert "ciao" not in groups["all:vars"]


def test_a_node_may_be_called_like_a_group_that_is_not_written() -> None:
    plan = replace(RACK, nodes=(replace(RACK.nodes[0], name="devices"),))
    assert "devices ansible_host=" in export(plan, "ansible")


def test_the_clusters_own_domain_is_searched_first() -> None:
    plan = replace(RACK, network=replace(RACK.network, search=("corp.example", "lab.example")))
    conf = next(file.text for file in render(plan, TEXT) if file.path == paths.DNSMASQ_CONF)
    (line,) = [line for line in conf.splitlines() if "domain-search" in line]
    assert line.endswith("option:domain-search,ciao.lan,corp.example,lab.example")


def test_a_bmc_keeps_the_address_that_is_set_in_it() -> None:
    node = replace(RACK.nodes[0], bmc=IPAddress("10.44.0.201"))
    draft = Draft.from_plan(replace(RACK, nodes=(node, *RACK.nodes[1:])))
    for cidr in ("172.30.5.0/24", "10.44.0.0/26"):
        assert readdressed(replace(draft, cidr=cidr), draft.cidr).nodes[0].bmc == "10.44.0.201"


def test_k3s_servers_are_those_with_the_role() -> None:
    text = export(RACK, "k3s-ansible")
    assert 'api_endpoint: "10.44.0.10"' in text
    assert text.index('"server1"') < text.index("agent:") < text.index('"agent1"')


def test_what_makes_no_sense_is_not_exported() -> None:
    with pytest.raises(WizardError, match="not ciao's"):
        export(RACK, "ciao")
    with pytest.raises(WizardError, match="role server"):
        export(replace(RACK, nodes=RACK.nodes[1:]), "k3s-ansible")
    assert "ciao" not in exports(RACK, CorporateSide())
    assert "hosts" in exports(RACK, CorporateSide())


def test_prometheus_reads_its_targets() -> None:
    groups = json.loads(export(RACK, "prometheus"))
    assert groups[0] == {
        "targets": ["10.44.0.10:9100"],
        "labels": {"node": "server1", "cluster": "ciao.lan", "role": "server"},
    }
    assert [group["labels"].get("role") for group in groups] == ["server", "agent,gpu", None]
    assert all(isinstance(label, str) for group in groups for label in group["labels"].values())


def test_clush_has_a_group_a_role() -> None:
    lines = [line for line in export(RACK, "clush").splitlines() if not line.startswith("#")]
    groups = {name: nodes.split(",") for name, nodes in (line.split(": ") for line in lines)}
    assert groups["gpu"] == ["agent1"]
    assert groups["all"] == ["server1", "agent1", "spare"]


@pytest.mark.parametrize("form", ["csv", "the plan", "JSON of import"])
def test_machines_with_several_nics_go_out_and_come_in(form: str) -> None:
    text = {
        "csv": lambda: export(RACK, "csv"),
        "the plan": lambda: dump_plan(RACK),
        "JSON of import": lambda: json.dumps([one.as_json() for one in read_list(export(RACK, "csv")).machines]),
    }[form]()
    assert [node.mac for node in read_nodes(text, kind=ClusterKind.K3S).nodes] == [
        ", ".join(map(format_mac, node.macs)) for node in RACK.nodes
    ]


def test_a_list_that_knows_another_nic_of_a_machine_adds_it() -> None:
    old = Draft.from_plan(RACK).nodes
    known = {mac: node for node in old for mac in macs_of(node.mac)}
    read = read_nodes("name,mac\nserver1,00:e0:4c:00:00:01+00:e0:4c:00:00:77\n", known=known, kind=ClusterKind.K3S)
    merged = merge_nodes(old, read)
    assert (merged.new, merged.changed) == (0, 1)
    assert merged.nodes[0] == replace(old[0], mac=f"{old[0].mac}, 00:e0:4c:00:00:77")


def test_a_second_mac_is_not_lost_in_the_list() -> None:
    text = export(RACK, "csv")
    assert "server,server1,b8:ae:ed:7b:51:50,10.44.0.10,00:e0:4c:00:00:01" in text
    assert [node.role for node in read_nodes(text, kind=ClusterKind.K3S).nodes] == ["server", "agent, gpu", "agent"]


# Names


def test_records_with_an_address_are_in_the_hosts_file() -> None:
    lines = hosts(RACK, "", 0).splitlines()
    assert "10.44.0.150 registry.ciao.lan registry" in lines
    assert "fd00::150 registry.ciao.lan registry" in lines
    assert "10.44.0.151 git.other.example" in lines


def test_no_machine_takes_the_name_of_a_record() -> None:
    text = hosts(RACK, "0 02:00:00:00:00:01 10.44.0.70 registry *\n0 02:00:00:00:00:02 10.44.0.71 api *\n", 0)
    assert "10.44.0.70" not in text
    assert "10.44.0.71" not in text


def test_other_records_are_options_of_dnsmasq() -> None:
    assert record_options(RACK) == [
        "cname=api.ciao.lan,api,server1.ciao.lan",
        "srv-host=_etcd-server._tcp.ciao.lan,server1.ciao.lan,2380,0,10",
        r'txt-record=note.ciao.lan,"v=1; \"quoted\", back\\slash"',
        r'txt-record=note,"v=1; \"quoted\", back\\slash"',
    ]


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("registry", "registry.lan"),
        ("registry.lan", "registry.lan"),
        ("a.registry.lan", "a.registry.lan"),
        ("git.corp", "git.corp"),
        ("_x._tcp", "_x._tcp.lan"),
        ("_x._tcp.k8s", "_x._tcp.k8s.lan"),
        ("_x._tcp.git.corp", "_x._tcp.git.corp"),
        ("lan", "lan"),
    ],
)
def test_a_name_of_one_label_is_in_the_domain(name: str, whole: str) -> None:
    assert full_name(name, "lan") == whole


def test_a_domain_of_its_own_servers_is_in_the_file_that_is_read_again() -> None:
    assert servers_file(["10.77.0.1"], RACK.dns).splitlines()[1:] == [
        "server=10.77.0.1",
        "server=/corp.example/10.1.1.53",
        "server=/corp.example/fd00::53",
    ]


def test_dnsmasq_takes_every_line(tmp_path: Path) -> None:
    need("dnsmasq")
    (tmp_path / "hosts").write_text(hosts(RACK, "", 0))
    conf = tmp_path / "dns.cfg"
    conf.write_text("\n".join([*record_options(RACK), f"addn-hosts={tmp_path}/hosts", ""]))
    done = subprocess.run(["dnsmasq", "--test", f"--conf-file={conf}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_records_survive_an_edit() -> None:
    text = dump_plan(replace(RACK, records=RACK.records[1:], dns=()), TEXT)
    plan = load_plan(text, "edited")
    assert (plan.records, plan.dns) == (RACK.records[1:], ())
    assert "# a full name" in text


# DHCP options


def test_options_as_dnsmasq_reads_them() -> None:
    """Those for all first, then those for roles, then those for machines: dnsmasq sends the last that fits."""
    assert [line for _, line in option_lines(RACK)] == [
        'dhcp-option=tag:cluster,option:tftp-server,"10.44.0.5"',
        "dhcp-option=tag:cluster,option:tftp-server-address,10.44.0.5,10.44.0.6",
        "dhcp-option=tag:cluster,225,31:32:33:34:35",
        "dhcp-option=tag:cluster,option:ip-forward-enable,0",
        'dhcp-option=tag:cluster,option:bootfile-name,"http://10.44.0.5/a,b:c #d;$(e)"',
        "dhcp-option=tag:role-gpu,option:default-ttl,48",
        "dhcp-option=tag:role-server,224,00:ff:7f",
        "dhcp-option=tag:role-agent,224,00:ff:7f",
        "dhcp-option=tag:node-agent1,option:default-ttl,47",
        "dhcp-option=tag:node-switch,option:default-ttl,47",
        "dhcp-option=tag:node-spare,option:classless-static-route,10.99.0.0/16,10.44.0.10,0.0.0.0/0,10.44.0.200",
    ]


def test_machines_have_the_tags_that_options_ask_for_and_reservations_none() -> None:
    """dnsmasq 2.90 ends in a crash when it reads a reservation with tags again after it was used."""
    files = {file.path: file.text for file in render(RACK, TEXT)}
    assert files[paths.DNSMASQ_HOSTS].splitlines()[1:] == [
        "b8:ae:ed:7b:51:50,00:e0:4c:00:00:01,10.44.0.10,server1",
        "c0:3f:d5:67:a7:6f,10.44.0.1,agent1",
        "c0:3f:d5:67:a7:70,10.44.0.2,spare",
        "00:0c:42:00:00:01,10.44.0.250,switch",
        "00:25:90:00:00:01,00:25:90:00:00:02,10.44.0.254,bmc",
    ]
    assert [line for line in files[paths.DNSMASQ_CONF].splitlines() if line.startswith("dhcp-mac=")] == [
        "dhcp-mac=set:role-server,b8:ae:ed:7b:51:50",
        "dhcp-mac=set:role-server,00:e0:4c:00:00:01",
        "dhcp-mac=set:role-agent,c0:3f:d5:67:a7:6f",
        "dhcp-mac=set:role-gpu,c0:3f:d5:67:a7:6f",
        "dhcp-mac=set:node-agent1,c0:3f:d5:67:a7:6f",
        "dhcp-mac=set:node-spare,c0:3f:d5:67:a7:70",
        "dhcp-mac=set:node-switch,00:0c:42:00:00:01",
    ]


def test_a_reservation_with_tags_and_two_macs_is_known_again() -> None:
    hosts_file = "aa:00:00:00:00:01,aa:00:00:00:00:02,set:role-x,10.44.0.10,n\n"
    assert conflicts(hosts_file, "0 aa:00:00:00:00:02 10.44.0.10 n *\n") == set()
    assert conflicts(hosts_file, "0 aa:00:00:00:00:03 10.44.0.10 n *\n") == {"10.44.0.10"}


def test_dnsmasq_takes_every_option() -> None:
    need("dnsmasq")
    assert refused_line([line for _, line in option_lines(RACK)]) is None


def test_an_option_that_dnsmasq_refuses_is_named_by_its_line() -> None:
    need("dnsmasq")
    found = refused_line(["dhcp-option=tag:x,66,a", "dhcp-option=option:no-such-option,1"])
    assert found is not None
    assert found[0] == 1
    assert found[1]


def test_warnings_about_options() -> None:
    routes = DhcpOption("classless-static-route", ("10.99.0.0/16", "10.44.0.10"))
    large = DhcpOption("bootfile-name", "x" * 250, ("gpu",))
    found = {finding.code: finding for finding in check_plan(replace(RACK, options=(routes, large)))}
    assert "10.44.0.200" in found["option-without-default-route"].remedy
    assert found["option-room"].field == "options[1].value"
    namesake = replace(RACK.nodes[1], name="server")
    ambiguous = replace(RACK, nodes=(RACK.nodes[0], namesake), options=(DhcpOption(66, "x", ("server",)),))
    codes = {finding.code for finding in check_plan(ambiguous)}
    assert "option-ambiguous" in codes


def test_the_names_are_dnsmasqs_own() -> None:
    need("dnsmasq")
    said = subprocess.run(["dnsmasq", "--help", "dhcp"], capture_output=True, text=True, check=True).stdout
    known = {name: int(number) for number, name in re.findall(r"^ *(\d+) (\S+)$", said, re.M)}
    assert {name: number for name, (number, _) in NAMES.items() if known.get(name) != number} == {}


# The path out, and in


def test_a_range_of_ports_leads_to_the_same_ports() -> None:
    script = next(file.text for file in render(RACK, TEXT) if file.path == paths.NAT_SCRIPT)
    for port in range(30000, 30004):
        assert f"tcp . {port} : 10.44.0.1 . {port}" in script
    assert "tcp . 30000-30003 . 10.77.0.0/24" in script
    restricted = script.split("set restricted {")[2].split("}")[0]
    assert [line.strip().rstrip(",") for line in restricted.splitlines() if "tcp" in line] == [
        f"tcp . {port}" for port in range(30000, 30004)
    ]


def test_a_range_is_one_forward_everywhere_else() -> None:
    assert Draft.from_plan(RACK).forwards[0].port == "30000-30003"
    assert "agent1  # 30000-30003" in export(RACK, "corporate-hosts")


def test_a_range_may_hold_nobodys_port() -> None:
    ssh = Listener("tcp", "*", 30002, "sshd", 7)
    found = [f for f in check(RACK, Facts(listeners=(ssh,))) if f.field.startswith("forwards")]
    assert [(f.code, f.field) for f in found] == [("forward-ssh", "forwards[0].port")]
    assert "TCP port 30002" in found[0].message


def test_too_many_ports_are_one_error() -> None:
    many = tuple(
        Forward(1024 + 4096 * n, "server1", 1024 + 4096 * n, protocol, None, 1024 + 4096 * n + 4095)
        for n in range(5)
        for protocol in Protocol
    )
    errors = [f.code for f in check_plan(replace(RACK, forwards=many)) if f.severity is Severity.ERROR]
    assert errors == ["forwards-many"]


@pytest.mark.parametrize(("mtu", "code"), [(9000, "mtu-large"), (1200, "mtu-small")])
def test_an_mtu_that_not_everybody_takes_is_said(mtu: int, code: str) -> None:
    found = check_plan(replace(RACK, network=replace(RACK.network, mtu=mtu)))
    assert code in {finding.code for finding in found}


def test_forwards_to_ftp_and_tftp_servers_are_known_by_either_port() -> None:
    plan = replace(
        RACK,
        forwards=(
            Forward(2121, "server1", 21),
            Forward(21, "server1", 2100),
            Forward(2100, "server1", 2100),
            Forward(6900, "server1", 69, Protocol.UDP),
            Forward(60, "server1", 60, Protocol.UDP, last_port=80),
            Forward(69, "server1", 69),
        ),
    )
    script = next(file.text for file in render(plan, "") if file.path == paths.NAT_SCRIPT)
    elements = re.findall(r"set (t?ftp) \{\n        type inet_service\n        elements = \{ (.*) \}", script)
    assert dict(elements) == {"ftp": "21, 2121", "tftp": "69, 6900"}


def test_octets_that_no_option_can_hold_are_refused() -> None:
    assert parse_value(224, ":".join(["00"] * 255)) == ":".join(["00"] * 255)
    with pytest.raises(FieldError, match="characters"):
        parse_value(224, ":".join(["00"] * 256))


def test_a_name_that_is_a_role_of_that_node_alone_is_not_ambiguous() -> None:
    option = DhcpOption(224, "x", ("server1",))
    nodes = [replace(NODES["server1"], roles=("server1",)), NODES["agent1"]]

    def codes() -> set[str]:
        return {finding.code for finding in check_plan(replace(RACK, nodes=tuple(nodes), options=(option,)))}

    assert "option-ambiguous" not in codes()
    nodes[1] = replace(NODES["agent1"], roles=("server1",))
    assert "option-ambiguous" in codes()


def test_the_room_for_a_machines_options_counts_those_of_roles() -> None:
    options = (DhcpOption(224, "x" * 120, ("server",)), DhcpOption(225, "x" * 120, ("server1",)))
    codes = [finding.code for finding in check_plan(replace(RACK, options=options))]
    assert "option-room" in codes
    assert "option-room" not in [finding.code for finding in check_plan(replace(RACK, options=options[:1]))]
