"""The export formats in words. A module of its own, so that --help loads nothing else."""

from __future__ import annotations

ABOUT: dict[str, tuple[str, str]] = {
    "ansible": ("inventory.ini", "inventory for ciao's playbooks"),
    "k3s-ansible": ("k3s-inventory.yml", "inventory for k3s-ansible; controllers are its servers"),
    "hosts": ("cluster.hosts", "/etc/hosts for machines that route into the cluster"),
    "ssh-config": ("ciao-gateway.conf", "ssh NAME from the company network, through the gateway"),
    "ciao": ("configuration.yaml", "ciao's configuration.yaml, with blanks only you can fill"),
    "csv": ("nodes.csv", "role, name, MAC, address; the wizard's import reads it"),
    "clush": ("clush.cfg", "groups for ClusterShell: clush -w @ROLE"),
    "prometheus": ("prometheus.json", "node exporters, for Prometheus' file_sd_configs"),
    "corporate-hosts": ("corporate.hosts", "how colleagues reach the forwarded services by name"),
}
"""Format -> (file name, description)."""
