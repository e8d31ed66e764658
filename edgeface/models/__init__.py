"""The shipped networks and the card of our own."""
