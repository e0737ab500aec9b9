#!/bin/sh
# written by ciao-wizard from {{ plan_path }}; change that and run 'ciao-wizard apply'
#
# NAT, forwards, firewall and DHCP guard of the cluster gateway.
#
#   nat.sh up      load all of it; run it as often as you like
#   nat.sh down    take all of it away
#   nat.sh leave   all but the table, which another version of this script is to replace
#   nat.sh status  what is loaded; ends with 0 when all of it is
#   nat.sh table   the nftables text, for reading or for 'nft -c -f -'
{% if auto %}
#   nat.sh uplinks [NIC...]  these NICs lead out from now on; the guard says which, when the default route moves
{% endif %}
#
# Everything is in nftables tables of our own, one for IP and one for ARP. Nobody else's rule is changed or removed. Where
# iptables' own FORWARD, INPUT or OUTPUT has rules or a DROP policy (Docker, ufw, libvirt), one jump to
# one chain of ours goes first there, because an accept in our table cannot overrule their drop. firewalld is asked
# to trust the cluster's NIC, which our own table judges.
set -eu
umask 022
LC_ALL=C
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH

{% if not auto %}
CORPORATE={{ corporate }}
{% endif %}
CLUSTER={{ cluster }}
NET={{ cidr }}
RUN=/run/ciao-wizard

table() {
    cat <<'TABLE'
# First the frame, so that what follows finds it; then, in the same transaction, the old rules go and
# the new ones come. The armed set, the counters and what each address has sent and received outlive that.
table inet ciao_gateway {
    # The NICs, by index, that our DHCP answers may leave by. The guard puts the cluster NIC here for a
    # few seconds at a time, and only while everything holds.
    set armed { type iface_index; flags timeout; }
{% if netboot %}
    # The nodes that are armed to boot over the network. The guard fills it.
    set netboot { type ipv4_addr; }
    set netboot_macs { type ipv4_addr . ether_addr; }
    # While somebody looks for machines that no plan has: the cluster's NIC, until when; those that asked for an
    # address, and what they have.
    set discovery { type iface_index; flags timeout; }
    set raw { type ether_addr; size {{ most_raw }}; flags dynamic,timeout; }
    set raw_addresses { type ipv4_addr; size {{ most_raw }}; flags dynamic,timeout; }
{% endif %}
{% if auto %}
    # The NICs that lead out: where the default route leads, and never the cluster's.
    set uplinks { type ifname; }
{% endif %}
    map forwards { type inet_proto . inet_service : ipv4_addr . inet_service; }
    set restricted { type inet_proto . inet_service; }
    set allowed { type inet_proto . inet_service . ipv4_addr; flags interval; }
    # By address in the cluster, as its machine sees it. Full, a set counts who is in it and nobody else.
    set node_sent { type ipv4_addr; size 16384; flags dynamic; counter; }
    set node_received { type ipv4_addr; size 16384; flags dynamic; counter; }
    set ftp { type inet_service; }
    set tftp { type inet_service; }
    counter muted { }
    counter astray { }
    counter refused_nak { }
    counter refused_source { }
    counter crowded { }
    counter refused_in { }
    counter refused_forward { }
}
table arp ciao_gateway { }
flush table inet ciao_gateway
flush table arp ciao_gateway
flush map inet ciao_gateway forwards
flush set inet ciao_gateway restricted
flush set inet ciao_gateway allowed
flush set inet ciao_gateway ftp
flush set inet ciao_gateway tftp
table inet ciao_gateway {
    # Where a connection to a port of this machine goes.
    map forwards {
        type inet_proto . inet_service : ipv4_addr . inet_service
{% if forwards %}
        elements = {
{% for f in forwards %}
            {{ f.protocol }} . {{ f.port }} : {{ f.address }} . {{ f.to_port }}{{ "," if not loop.last else "" }}
{% endfor %}
        }
{% endif %}
    }
    # The forwards that not everybody may use, and who may.
    set restricted {
        type inet_proto . inet_service
{% if restricted %}
        elements = {
{% for s in restricted %}
            {{ s }}{{ "," if not loop.last else "" }}
{% endfor %}
        }
{% endif %}
    }
    set allowed {
        type inet_proto . inet_service . ipv4_addr
        flags interval
{% if sources %}
        elements = {
{% for s in sources %}
            {{ s.to }} . {{ s.network }}{{ "," if not loop.last else "" }}
{% endfor %}
        }
{% endif %}
    }

    # The forwards that lead to FTP and TFTP servers.
    set ftp {
        type inet_service
{% if ftp_ports %}
        elements = { {{ ftp_ports }} }
{% endif %}
    }
    set tftp {
        type inet_service
{% if tftp_ports %}
        elements = { {{ tftp_ports }} }
{% endif %}
    }

    # The DHCP guard: our dnsmasq has a user of its own, and what it says to a client stays here
    # unless the guard is armed for exactly that NIC.
    chain guard {
        type filter hook output priority -300; policy accept;
        # Counted apart: nothing of ours should ever want to leave by another NIC.
        meta skuid {{ dhcp_uid }} udp sport { 67, 547 } oifname != { "{{ cluster }}", "lo" } counter name astray
        meta skuid {{ dhcp_uid }} udp sport { 67, 547 } oif != @armed counter name muted drop
        meta skuid {{ dhcp_uid }} icmpv6 type nd-router-advert oif != @armed counter name muted drop
        # Bytes 248 to 250 of UDP: option 53, the message type, 6 for a refusal (DHCPNAK).
        meta skuid {{ dhcp_uid }} udp sport 67 @th,1984,24 0x350106 jump refusals
        oifname {{ uplink }} udp sport { 67, 547 } counter name muted drop
{% if netboot %}
        # What nodes boot: for those who are armed, and while DHCP is. A transfer under way ends with either.
        ip saddr {{ gateway }} udp sport 69 oif != @armed counter name muted drop
        ip saddr {{ gateway }} tcp sport {{ netboot_port }} oif != @armed counter name muted drop
        ip saddr {{ gateway }} udp sport 69 ip daddr != @netboot ip daddr != @raw_addresses counter name muted drop
        ip saddr {{ gateway }} tcp sport {{ netboot_port }} ip daddr != @netboot ip daddr != @raw_addresses counter name muted drop
{% endif %}
    }

    # A refusal is for the plan's own nodes (bytes 36 to 41 of UDP: the MAC): whoever else came with an address
    # from elsewhere may be on a wire that is not ours. But for "address in use", which is option 56 behind the
    # server's address: machines that boot in a burst are offered one address, and those who come second have to
    # hear of it, or they wait. That is counted from behind the UDP header, as Linux up to 6.12 looks at nothing
    # past byte 255 of what one counts from.
    chain refusals {
        @th,288,48 { {{ node_numbers }} } return
        @ih,1992,128 0x380e6164647265737320696e20757365 return
        counter name refused_nak drop
    }

    # On the cluster's NIC only the cluster speaks: an answer to another source would leave by another NIC. But
    # for DHCP: who asks for an address has none yet, or one from elsewhere.
    chain sources {
        type filter hook prerouting priority raw; policy accept;
        iifname != "{{ cluster }}" accept
        ip saddr { 127.0.0.0/8, {{ network }}, {{ gateway }}, {{ broadcast }}, 224.0.0.0/3 } counter name refused_source drop
        ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept
        ip saddr != {{ cidr }} counter name refused_source drop
    }

{% if netboot %}
    # A machine that no plan has, from when it asked for an address while somebody looks for such, until ten minutes
    # after: it gets that, a boot loader and its page, and nothing else. Its frames are judged by their MAC.
    chain strangers {
        type filter hook prerouting priority raw + 1; policy accept;
        iifname != "{{ cluster }}" accept
        ether saddr { {{ node_macs }} } accept
{% for pattern in not_strangers %}
        ether saddr & {{ pattern.mask }} == {{ pattern.mac }} accept
{% endfor %}
        iif @discovery udp dport 67 limit rate over 50/second burst 100 packets counter name crowded drop
        iif @discovery udp dport 67 update @raw { ether saddr timeout 10m }
{% if known_only %}
        iif @discovery udp dport 67 ether saddr != @raw counter name crowded drop
{% endif %}
        ether saddr != @raw accept
        ip saddr @netboot counter name refused_in drop
        udp dport 67 accept
        iif @discovery ip daddr {{ gateway }} udp dport 69 update @raw_addresses { ip saddr timeout 2m } accept
        iif @discovery ip daddr {{ gateway }} tcp dport {{ netboot_port }} update @raw_addresses { ip saddr timeout 2m } accept
{% if known_only %}
        counter name refused_in drop
{% endif %}
    }

{% endif %}
    # What passes through this machine, or is for it or from it. What one node sends another it does not see.
    chain sent {
        type filter hook prerouting priority mangle; policy accept;
        iifname "{{ cluster }}" ip saddr {{ cidr }} add @node_sent { ip saddr }
    }
    chain received {
        type filter hook postrouting priority mangle; policy accept;
        oifname "{{ cluster }}" ip daddr {{ cidr }} add @node_received { ip daddr }
    }

    # Forwards: for what is sent to this machine itself; a connection to somebody else is left alone.
    chain prerouting {
        type nat hook prerouting priority dstnat; policy accept;
        iifname {{ uplink }} meta l4proto . th dport @restricted ip protocol . th dport . ip saddr != @allowed return
{% if auto %}
        iifname @uplinks fib daddr type local dnat ip to meta l4proto . th dport map @forwards
        iifname "{{ cluster }}" fib daddr type local dnat ip to meta l4proto . th dport map @forwards
{% else %}
        iifname { "{{ corporate }}", "{{ cluster }}" } fib daddr type local dnat ip to meta l4proto . th dport map @forwards
{% endif %}
    }
    chain output {
        type nat hook output priority -100; policy accept;
        ip daddr != 127.0.0.0/8 fib daddr type local dnat ip to meta l4proto . th dport map @forwards
    }
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        oifname {{ uplink }} ip saddr {{ cidr }} ip daddr != {{ cidr }} masquerade
        # A node that asks for a forward must get its answer from us, not from its neighbour.
        oifname "{{ cluster }}" ip saddr {{ cidr }} ct status dnat masquerade
    }

    # Whatever kept a packet from being masqueraded, and what a forward would send to the office while the cluster's
    # NIC is away: the office sees no address of the cluster.
    chain traces {
        type filter hook postrouting priority srcnat + 100; policy accept;
        oifname {{ uplink }} ip saddr {{ cidr }} fib saddr . oif type != local counter name refused_forward drop
        oifname {{ uplink }} ip daddr {{ cidr }} ct direction original ct status dnat counter name refused_forward drop
    }

    # No TCP segment larger than the way there and back has room for: who drops larger ones may say so to nobody.
    chain clamp {
        type filter hook forward priority mangle; policy accept;
        iifname "{{ cluster }}" tcp flags syn tcp option maxseg size set rt mtu
        oifname "{{ cluster }}" tcp flags syn tcp option maxseg size set rt mtu
    }

    chain forward {
        type filter hook forward priority filter; policy accept;
        # Not ours: no judgement.
        iifname != "{{ cluster }}" oifname != "{{ cluster }}" accept
        meta nfproto ipv6 counter name refused_forward drop
        # DHCP ends at its wire, and so does what is for everybody there.
        udp dport { 67, 68, 546, 547 } counter name refused_forward drop
        ip daddr { 224.0.0.0/4, 255.255.255.255 } counter name refused_forward drop
        # From this port the guard asks for a forward, to see that it leads to its node: nobody is to get the answer.
        tcp dport {{ walk_port }} ct direction reply drop
{% if auto %}
        # What leaves the cluster leaves by an uplink: an open connection, too, whose route has moved elsewhere.
        iifname "{{ cluster }}" oifname != "{{ cluster }}" oifname != @uplinks counter name refused_forward drop
{% endif %}
        ct state established,related accept
        ct state invalid counter name refused_forward drop
        iifname "{{ cluster }}" oifname "{{ cluster }}" accept
        iifname "{{ cluster }}" oifname {{ uplink }} ip saddr {{ cidr }} accept
        iifname {{ uplink }} oifname "{{ cluster }}" ct status dnat accept
        counter name refused_forward drop
    }

    # Virtual machines that boot by the hundred fill the DHCP server's queue, and the nodes would wait with them.
    chain crowd {
        type filter hook input priority filter - 5; policy accept;
        iifname "{{ cluster }}" udp dport 67 ether saddr != { {{ node_macs }} } limit rate over 1000/second burst 120 packets counter name crowded drop
    }

    chain input {
        type filter hook input priority filter; policy accept;
        # The gateway's cluster address is for the cluster. Should that NIC come to have it too, it is this machine's
        # own there.
        iifname {{ uplink }} ip daddr { {{ gateway }}, {{ broadcast }} } fib daddr . iif type != { local, broadcast } counter name refused_in drop
        iifname != "{{ cluster }}" accept
        meta nfproto ipv6 counter name refused_in drop
{% if netboot %}
        iif @discovery ether saddr @raw udp dport 69 accept
        iif @discovery ether saddr @raw tcp dport {{ netboot_port }} accept
        udp dport 69 ip saddr . ether saddr != @netboot_macs counter name refused_in drop
        tcp dport {{ netboot_port }} ip saddr . ether saddr != @netboot_macs counter name refused_in drop
        udp dport 69 accept
        tcp dport {{ netboot_port }} accept
{% endif %}
        ct state established,related accept
        udp dport { 53, 67{{ ", 123" if serves_time else "" }} } accept
        tcp dport { 22, 53 } accept
        icmp type echo-request accept
        counter name refused_in drop
    }
}

# Linux answers for any address it has on whatever NIC it is asked, and asks in its name: not for the cluster's.
table arp ciao_gateway {
    chain input {
        type filter hook input priority filter; policy accept;
        iifname != "{{ cluster }}" arp daddr ip {{ gateway }} drop
    }
    chain output {
        type filter hook output priority filter; policy accept;
        oifname != "{{ cluster }}" arp saddr ip {{ gateway }} drop
    }
}
TABLE
    helpers "${1-}"
}

# FTP and TFTP agree on a second connection within the first. A helper of the kernel's reads along, and lets that one
# through NAT: for these two, on their own ports, for nodes and for what is forwarded to one, and for nobody else. It is
# given before the forwards are looked up: only then is the rewritten text allowed another length.
helpers() {
    if [ "${1-}" != now ] && [ -r "$RUN/helpers" ]; then
        found=$(cat "$RUN/helpers")
    else
        found=$(helpers_found)
    fi
    while read -r name protocol port; do
        case " $found " in *" $name "*) ;; *) continue ;; esac
        cat <<RULES
table inet ciao_gateway {
    ct helper $name {
        type "$name" protocol $protocol
        l3proto ip
    }
    chain helpers {
        type filter hook prerouting priority mangle; policy accept;
        iifname "$CLUSTER" fib daddr type != local $protocol dport $port ct helper set "$name"
{% if auto %}
        iifname @uplinks fib daddr type local $protocol dport @$name ct helper set "$name"
        iifname "$CLUSTER" fib daddr type local $protocol dport @$name ct helper set "$name"
{% else %}
        iifname { "$CORPORATE", "$CLUSTER" } fib daddr type local $protocol dport @$name ct helper set "$name"
{% endif %}
    }
}
RULES
    done <<HELPERS
ftp tcp 21
tftp udp 69
HELPERS
}

# The helpers that the kernel has now. What the rules were loaded with is noted: a module that is installed later
# changes no rule.
helpers_found() {
    found=
    ! has_helper ftp tcp || found=ftp
    ! has_helper tftp udp || found="$found tftp"
    echo "$found"
}

# Whether the kernel has a helper, NAME PROTOCOL, or a module of it, which it then loads.
has_helper() {
    printf 'table inet ciao_asks {\nct helper asked {\ntype "%s" protocol %s\nl3proto ip\n}\n}\n' "$1" "$2" |
        nft -c -f - 2>/dev/null
}

# The other half of each, for NAT. The kernel does not load that by itself.
helper_modules_up() {
    ! command -v modprobe >/dev/null || modprobe -qa nf_nat_ftp nf_nat_tftp 2>/dev/null || :
}

# Whether that half of a helper, NAME, is in the kernel. Where no modules are installed, it has what it was built with.
has_nat_half() {
    modules=/lib/modules/$(uname -r)
    [ -d "/sys/module/nf_nat_$1" ] || [ ! -d "$modules" ] || grep -qs "/nf_nat_$1.ko" "$modules/modules.builtin"
}

helpers_status() {
    rules=$(nft list chain inet ciao_gateway helpers 2>/dev/null || :)
    for name in ftp tftp; do
        if ! echo "$rules" | grep -q "set \"$name\""; then
            echo "helper    $name: the kernel had no module nf_conntrack_$name when the rules were loaded"
        elif ! has_nat_half "$name"; then
            echo "helper    $name: the module nf_nat_$name is not loaded"
        else
            echo "helper    $name: in place"
        fi
    done
}

# One at a time, by whatever copy of this script: between two looks another would add the jump too.
# SECONDS to wait for it.
alone() {
    # A file of root's own: a directory that others may open, they may also lock.
    mkdir -p "$RUN"
    (umask 077 && : >>"$RUN/nat.lock")
    exec 9<"$RUN/nat.lock"
    flock -w "$1" 9 || {
        echo "${0##*/}: another one has been at work for $1 seconds; nothing was done" >&2
        exit 1
    }
}

# The iptables programs whose filter table exists here. Asking in any other way would make it exist.
# Not what is in it: nft of Debian 13 dies over rules with matches of iptables.
iptables_here() {
    if command -v iptables-nft >/dev/null && nft list tables ip 2>/dev/null | grep -qx 'table ip filter'; then
        echo iptables-nft
    fi
    if command -v iptables-legacy >/dev/null && grep -qsx filter /proc/net/ip_tables_names; then
        echo iptables-legacy
    fi
}

# Whether a chain, PROGRAM CHAIN, is iptables' own, and not somebody's native one that it would not take: asked for
# such a one, iptables makes others beside it.
is_iptables() {
    [ "$1" != iptables-nft ] || nft list chains ip 2>/dev/null | awk -v wanted="$2" '
        $1 == "table" { table = $3 }
        $1 == "chain" { chain = $2 }
        table == "filter" && chain == wanted && /type filter hook [a-z]+ priority (filter|0);/ { found = 1 }
        END { exit !found }'
}

# Whether a chain of iptables, PROGRAM CHAIN, drops by policy or has rules other than our jump.
judges() {
    is_iptables "$1" "$2" || return 1
    "$1" -w 5 -S "$2" 2>/dev/null | grep -v -e "^-P $2 ACCEPT" -e "-j CIAO-$2\$" | grep -q .
}

# Whether our jump is the first rule of a chain, PROGRAM CHAIN.
is_first() {
    [ "$("$1" -w 5 -S "$2" 2>/dev/null | grep -m 1 '^-A')" = "-A $2 -j CIAO-$2" ]
}

accepts() {
    case $1 in
    FORWARD)
        echo "-A CIAO-FORWARD -i $CLUSTER -o $CLUSTER -j ACCEPT"
{% if auto %}
        # Which NICs lead out is judged by our own table, whose drop counts for all.
        echo "-A CIAO-FORWARD -s $NET -i $CLUSTER -j ACCEPT"
        echo "-A CIAO-FORWARD -o $CLUSTER -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT"
{% else %}
        echo "-A CIAO-FORWARD -s $NET -i $CLUSTER -o $CORPORATE -j ACCEPT"
        echo "-A CIAO-FORWARD -i $CORPORATE -o $CLUSTER -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT"
{% endif %}
        ;;
    INPUT)
        echo "-A CIAO-INPUT -i $CLUSTER -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
        echo "-A CIAO-INPUT -i $CLUSTER -p udp -m multiport --dports 53,67{{ ",123" if serves_time else "" }} -j ACCEPT"
        echo "-A CIAO-INPUT -i $CLUSTER -p tcp -m multiport --dports 22,53 -j ACCEPT"
{% if netboot %}
        echo "-A CIAO-INPUT -i $CLUSTER -p udp -m udp --dport 69 -j ACCEPT"
        echo "-A CIAO-INPUT -i $CLUSTER -p tcp -m tcp --dport {{ netboot_port }} -j ACCEPT"
{% endif %}
        echo "-A CIAO-INPUT -i $CLUSTER -p icmp -m icmp --icmp-type 8 -j ACCEPT"
        ;;
    OUTPUT)
        echo "-A CIAO-OUTPUT -o $CLUSTER -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT"
        echo "-A CIAO-OUTPUT -o $CLUSTER -p udp -m udp --sport 67 -j ACCEPT"
        # What this machine sends to a forward of its own is sent to itself: its device is lo still, and the node
        # is its target already.
        echo "-A CIAO-OUTPUT -d $NET -m conntrack --ctstate DNAT -j ACCEPT"
        # The nodes' questions, passed on to this machine's resolvers.
        echo "-A CIAO-OUTPUT -p udp -m udp --dport 53 -m owner --uid-owner {{ dhcp_uid }} -j ACCEPT"
        echo "-A CIAO-OUTPUT -p tcp -m tcp --dport 53 -m owner --uid-owner {{ dhcp_uid }} -j ACCEPT"
        ;;
    esac
}

neighbours_up() {
    for program in $(iptables_here); do
        for chain in FORWARD INPUT OUTPUT; do
            judges "$program" "$chain" || continue
            # Asked before: iptables-legacy-restore holds the lock that this needs.
            jump=
            if ! is_first "$program" "$chain"; then
                jump="-I $chain 1 -j CIAO-$chain"
                # What has come to stand before it may drop what is ours.
                ! "$program" -w 5 -C "$chain" -j "CIAO-$chain" 2>/dev/null || jump="-D $chain -j CIAO-$chain
$jump"
            fi
            # One transaction: the chain is emptied and filled, everything else kept.
            {
                echo '*filter'
                echo ":CIAO-$chain - [0:0]"
                accepts "$chain"
                [ -z "$jump" ] || echo "$jump"
                echo COMMIT
            } | "$program-restore" -w 5 --noflush
        done
    done
}

neighbours_down() {
    for program in $(iptables_here); do
        for chain in FORWARD INPUT OUTPUT; do
            while is_iptables "$program" "$chain" && "$program" -w 5 -D "$chain" -j "CIAO-$chain" 2>/dev/null; do :; done
            "$program" -w 5 -F "CIAO-$chain" 2>/dev/null || continue
            "$program" -w 5 -X "CIAO-$chain"
        done
    done
}

neighbours_status() {
    for program in $(iptables_here); do
        for chain in FORWARD INPUT OUTPUT; do
            judges "$program" "$chain" || continue
            if [ "$("$program" -w 5 -S "CIAO-$chain" 2>/dev/null | grep -c '^-A')" -ne "$(accepts "$chain" | wc -l)" ] ||
                ! "$program" -w 5 -C "$chain" -j "CIAO-$chain" 2>/dev/null; then
                echo "accepts   $program $chain: ours is missing"
                missing=1
            elif ! is_first "$program" "$chain"; then
                echo "accepts   $program $chain: ours is behind others"
                missing=1
            else
                echo "accepts   $program $chain: ours is in place"
            fi
        done
    done
}

# firewalld refuses at the end of its own chains what it does not know; its word for "let in" is a zone. Ours is for
# now only: what it keeps for good is not touched, and it forgets ours when it reloads.
firewalld_here() {
    command -v firewall-cmd >/dev/null && nft list table inet firewalld >/dev/null 2>&1
}

zone_of() {
    timeout 10 firewall-cmd --get-zone-of-interface="$1" 2>/dev/null || :
}

# Asking firewalld itself takes long.
is_trusted() {
    nft list chain inet firewalld filter_INPUT_ZONES 2>/dev/null | grep -q "iifname \"$CLUSTER\" goto filter_IN_trusted" ||
        [ "$(zone_of "$CLUSTER")" = trusted ]
}

firewalld_up() {
    firewalld_here || return 0
    if is_trusted; then return; fi
    note=$RUN/firewalld.$CLUSTER
    if [ ! -e "$note" ]; then
        zone_of "$CLUSTER" >"$RUN/new.firewalld"
        mv "$RUN/new.firewalld" "$note"
    fi
    timeout 10 firewall-cmd --quiet --zone=trusted --change-interface="$CLUSTER" ||
        echo "${0##*/}: firewalld does not take $CLUSTER into its zone 'trusted'" >&2
}

firewalld_down() {
    for note in "$RUN"/firewalld.*; do
        [ -e "$note" ] || continue
        nic=${note#"$RUN/firewalld."}
        zone=$(cat "$note")
        if ! firewalld_here || [ "$(zone_of "$nic")" != trusted ]; then
            # It has forgotten ours, or somebody chose another since.
            :
        elif [ -n "$zone" ]; then
            timeout 10 firewall-cmd --quiet --zone="$zone" --change-interface="$nic"
        else
            timeout 10 firewall-cmd --quiet --zone=trusted --remove-interface="$nic"
        fi
        rm -f "$note"
    done
}

firewalld_status() {
    firewalld_here || return 0
    if is_trusted; then
        echo "accepts   firewalld $CLUSTER: ours is in place"
    else
        echo "accepts   firewalld $CLUSTER: ours is missing"
        missing=1
    fi
}

{% if auto %}
# Where the kernel would send what is for the internet now: the default route of the lowest metric, and where a VPN
# leads it instead, by rules of its own or by halves of the address space. Looks only; nothing is sent.
uplinks_now() {
    {
        ip -4 -o route show default 2>/dev/null | awk '{
            metric = 0
            for (i = 1; i < NF; i++) if ($i == "metric") metric = $(i + 1) + 0
            if (NR == 1 || metric < best) { best = metric; found = "" }
            if (metric == best) for (i = 1; i < NF; i++) if ($i == "dev") found = found $(i + 1) "\n"
        } END { printf "%s", found }'
        for to in {{ internet }}; do
            ip -4 -o route get "$to" 2>/dev/null | sed -n 's/.* dev \([^ ]*\) .*/\1/p'
        done
    } | sort -u | while read -r nic; do
        if may_lead_out "$nic"; then echo "$nic"; fi
    done
}

# Never the cluster's own NIC or one upon it, never to containers and virtual machines.
may_lead_out() {
    case $1 in
    "$CLUSTER" | {{ never_uplinks }}) return 1 ;;
    [!A-Za-z0-9]* | *[!A-Za-z0-9_.-]*) return 1 ;;
    esac
    [ ! -e "/sys/class/net/$1/lower_$CLUSTER" ]
}

uplinks_loaded() {
    nft list set inet ciao_gateway uplinks 2>/dev/null | grep -o '"[^"]*"' | tr -d '"'
}

# The set's new content, for nft. NIC...
uplinks_text() {
    echo 'flush set inet ciao_gateway uplinks'
    for nic in "$@"; do
        echo "add element inet ciao_gateway uplinks { \"$nic\" }"
    done
}

{% endif %}
# Only the two NICs forward. net.ipv4.ip_forward would change every interface of this machine, and
# Docker decides by it whether to close FORWARD.
forwarding_up() {
    mkdir -p "$RUN"
    for nic in {{ forwarding_nics }}; do
        switch=/proc/sys/net/ipv4/conf/$nic/forwarding
        [ -e "$switch" ] || continue
        # By its index, which a NIC keeps whatever it is called; written down whole or not at all.
        index=$(ip -o link show dev "$nic")
        note=$RUN/forwarding.${index%%:*}
        if [ ! -e "$note" ]; then
            echo "$(cat "$switch") $(cat /proc/sys/net/ipv4/ip_forward)" >"$RUN/new.forwarding"
            mv "$RUN/new.forwarding" "$note"
        fi
        [ "$(cat "$switch")" = 1 ] || echo 1 >"$switch"
    done
}

{% if auto %}
# But for the NICs given.
{% endif %}
forwarding_down() {
    now=$(cat /proc/sys/net/ipv4/ip_forward)
    for note in "$RUN"/forwarding.*; do
        [ -e "$note" ] || continue
        nic=$(ip -o link show | sed -n "s/^${note##*.}: \([^:@]*\).*/\1/p")
        switch=/proc/sys/net/ipv4/conf/$nic/forwarding
{% if auto %}
        case " $* " in
        *" ${nic:-/} "*) continue ;;
        esac
{% endif %}
        if [ -n "$nic" ] && [ -e "$switch" ]; then
            read -r before global <"$note"
            # Docker and others need the global switch; where it was thrown since, every NIC goes by it.
            [ "$global" = "$now" ] || before=$now
            [ "$(cat "$switch")" = "$before" ] || echo "$before" >"$switch"
        fi
        rm -f "$note"
    done
}

case ${1-} in
up)
    alone 30
    helper_modules_up
    helpers_found >"$RUN/new.helpers"
    mv "$RUN/new.helpers" "$RUN/helpers"
{% if auto %}
    UPLINKS=$(uplinks_now)
    # shellcheck disable=SC2086 # names without blanks
    { table now && uplinks_text $UPLINKS; } | nft -f -
{% else %}
    table now | nft -f -
{% endif %}
    neighbours_up
    firewalld_up
    forwarding_up
    # What does not work without them is little: no reason to fail.
    helpers_status | grep -v ': in place$' || :
    ;;
{% if auto %}
uplinks)
    shift
    alone 30
    UPLINKS=
    for nic in "$@"; do
        may_lead_out "$nic" || continue
        UPLINKS="$UPLINKS $nic"
    done
    # shellcheck disable=SC2086 # names without blanks
    uplinks_text $UPLINKS | nft -f -
    forwarding_up
    # shellcheck disable=SC2086
    forwarding_down $UPLINKS "$CLUSTER"
    ;;
{% endif %}
down)
    alone 30
    forwarding_down
    firewalld_down
    neighbours_down
    rm -f "$RUN/helpers"
    for family in inet arp; do
        if nft list table "$family" ciao_gateway >/dev/null 2>&1; then
            nft delete table "$family" ciao_gateway
        fi
    done
    ;;
leave)
    # What bears the names of these NICs beside the table, for another version of this script to take its place.
    alone 30
    forwarding_down
    firewalld_down
    neighbours_down
    ;;
status)
    [ ! -d "$RUN" ] || alone 5
    missing=0
    for table in 'inet ciao_gateway:chain guard' 'arp ciao_gateway:chain input'; do
        # shellcheck disable=SC2086 # a family and a name
        if nft list table ${table%%:*} 2>/dev/null | grep -q "${table#*:}"; then
            echo "table     ${table%%:*}: loaded"
        else
            echo "table     ${table%%:*}: not loaded"
            missing=1
        fi
    done
    neighbours_status
    firewalld_status
    helpers_status
{% if auto %}
    UPLINKS=$(uplinks_loaded)
    # shellcheck disable=SC2086 # names without blanks
    echo "uplinks  " ${UPLINKS:-none}
{% endif %}
    for nic in {{ forwarding_nics }}; do
        if [ "$(cat "/proc/sys/net/ipv4/conf/$nic/forwarding" 2>/dev/null)" = 1 ]; then
            echo "forward   $nic: on"
        else
            echo "forward   $nic: off"
            missing=1
        fi
    done
    exit "$missing"
    ;;
table)
    table "${2-}"
    ;;
*)
    echo "usage: ${0##*/} up | down | leave | status | table{% if auto %} | uplinks [NIC...]{% endif %}" >&2
    exit 2
    ;;
esac
