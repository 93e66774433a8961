"""What the loop reads, for an MQTT broker and Home Assistant. Needs the extra ``mqtt``."""
