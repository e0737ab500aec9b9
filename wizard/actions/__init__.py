"""What is done to the nodes: woken, restarted, switched off, logged in to, armed. Changes nothing else on this machine.

targets          the nodes that a person names
outcome          one node's outcome, and doing something to many at once
wake             Wake-on-LAN out of the cluster NIC, and waiting until a node is there
shell            over the person's own ssh
bmc              over Redfish, where a node has a BMC
ipmi             over IPMI, where its BMC has no Redfish
way              whether a packet to a node or a BMC stays on the cluster's proven wire
boot             arming nodes to boot an image over the network, and disarming them
power            wake, reboot and off, each by the way that a node has
"""
