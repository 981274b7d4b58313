"""Looking at agents by hand: what there is in a network, what would be published of an agent, and a recording of one."""
