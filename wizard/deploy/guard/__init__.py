"""The guard: a process (`serve`) that runs dnsmasq and lets its DHCP answers out only while every precondition holds.

    daemon                    the guard's main loop: inspect, decide, arm or mute, publish serve.json
    control                   starts, reloads and stops the guard from outside (the engine's processes)
    preconditions             pure checks of the cluster NIC; GuardVerdict
    wire_watch                probes the wires, keeps the proof and the trip
    link_listener             packet sockets that detect other servers between the probes
    address_defence           defends the gateway's address (RFC 5227)
    proof                     the proof that the cluster wire is silent, and when it ends
    trip_record               why the guard tripped, over a reboot too
    corporate_dhcp_history    which corporate wires have ever answered DHCP
    address_watch             gives the gateway's address back where it was taken off the cluster NIC
    address_owner             who took it, and the remedy
    address_probe             whether another machine uses it (ARP)
    uplink_watch              follows the default route where the plan says "auto": the uplinks' set and forwarding
    rules_watch               loads our rules again where others removed them
    supervised_process        a server that is restarted when it ends
    dhcp_server               the DHCP server's dnsmasq: start, socket, suspend and resume
    name_server               the name server's dnsmasq, and its files
    netboot                   what armed nodes boot: dnsmasq's options, the filter's set, the HTTP server
    port_conflicts            which process holds the port that dnsmasq wants
    path_prober               a thread that probes a node's path
    path_plan                 which path to probe on this machine
    path_report               path.json: the result of the latest probe

The muter, which arms and disarms the packet filter in a process of its own, is `wizard.host.muter_process`.
"""
