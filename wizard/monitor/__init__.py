"""Monitoring: who is on the cluster wire, and whether the gateway works. Changes nothing but the file of metrics.

How a lease becomes a row: `lease_file` reads dnsmasq's lease file, `lease_rows` joins the leases with the plan and
makes the `LeaseRow`s, `lease_monitor` makes them again for whatever has changed.

    lease_file       dnsmasq's lease file, never half of it
    file_followers   the plan in force, read only where it has changed
    reachability     ARP probes: who answers, who is cloned, whose address is doubled
    lease_rows       plan × leases × neighbours -> LeaseRow
    lease_monitor    all of these, polled; state between polls
    lease_view       rows sorted, searched and counted, kept up row by row
    lease_watch      a monitor and a view for one page, safe to use from several threads
    lease_board      rows read once, and the context that instances need
    alarms           the texts of each alarm
    machine_events   what happened to a machine between two polls
    node_summary     nodes and VMs, summed up for the dashboard
    overview         status, plan and rows of one moment; events between two such moments
    metrics          what Prometheus reads; metrics_writer, a child of the guard, keeps it in a file
    boot_stages      how far each node has come in booting over the network; boot_words says it
    boot_board       all nodes and images for the page Boot
    forward_checks   TCP connections to each forwarded port
    instances        the instances behind CNCIs, read over ssh
"""
