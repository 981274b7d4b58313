"""The device-data service: takes device data in from gateways, and hands it to partners as far as customers let it."""
