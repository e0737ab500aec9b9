"""Lines of known formats that are no machine. They are skipped only in a text that has the format."""

from __future__ import annotations

import re

SCAN_HEADING = re.compile(r"(?:Interface: \S+, (?:data)?(?:link|type)|Starting arp-scan)")
_DHCPD = re.compile(r"^\s*(?:host|lease)\s+\S+\s*\{?", re.MULTILINE)
# For each format: the sign that a text has it, and its lines that are no machine.
_FORMATS: tuple[tuple[re.Pattern[str], re.Pattern[str]], ...] = (
    (_DHCPD, re.compile(r".*[;{}]$|(?:subnet|group|pool|shared-network|option|authoritative|range|class)\b.*")),
    (
        re.compile(r"^\s*(?:--)?dhcp-host[= ]", re.MULTILINE),
        re.compile(r"(?:--)?[a-z][a-z0-9]*(?:-[a-z0-9]+)*=.*|[a-z]+(?:-[a-z0-9]+)+"),
    ),
    (re.compile(r"^\s*config\s+'?\w", re.MULTILINE), re.compile(r"(?:config|option|list|package)\s.*")),
    (re.compile(r"^dhcp\.[^=]+=", re.MULTILINE), re.compile(r"dhcp\.[^=]+=.*")),
    (
        re.compile(r"^/ip |^/interface |^add .*mac-address=", re.MULTILINE),
        re.compile(r"/[a-z].*|(?:add|set|remove)\s.*|:[a-z].*"),
    ),
    (
        re.compile(r"^Nmap scan report", re.MULTILINE),
        re.compile(
            r"(?:Starting Nmap|Nmap (?:done|scan)|Host (?:is|seems)|Not shown|All [0-9]+|PORT|[0-9]+/(?:tcp|udp|sctp)"
            r"|Other addresses|rDNS|MAC Address|Service|Device|Running|OS|Network Distance|Warning|Note|Some|Too).*"
        ),
    ),
    (re.compile(r"^# Nmap ", re.MULTILINE), re.compile(r"Host: .*")),
    (
        SCAN_HEADING,
        re.compile(r"(?:Interface|Starting|Ending|WARNING|[0-9]+ packets|[0-9]+ hosts).*"),
    ),
    (
        re.compile(r"^server-duid |^authoring-byte-order ", re.MULTILINE),
        re.compile(r"(?:server-duid|authoring-byte-order|failover|ia-na|ia-ta)\b.*"),
    ),
    (re.compile(r"^Address\s+HWtype", re.MULTILINE), re.compile(r"Entries:.*")),
    (re.compile(r"^Protocol\s+Address\s+Age", re.MULTILINE), re.compile(r"Internet\s.*")),
)


class Scaffolding:
    """The scaffolding of the formats that a text has."""

    def __init__(self, text: str) -> None:
        self._patterns = [pattern for sign, pattern in _FORMATS if sign.search(text)]

    def has(self, line: str) -> bool:
        return any(pattern.fullmatch(line) for pattern in self._patterns)
