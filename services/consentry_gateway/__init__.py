"""The gateway: collects from devices (SNMP first) or makes them up for a demo, and publishes to the device-data service."""
