"""Turn trained weights into the int8 files that run on the device."""
