"""What speaks MQTT: the publisher, commands, Home Assistant, a subscriber."""
