"""Speaks MQTT: the publisher, commands, Home Assistant's discovery, a subscriber."""
