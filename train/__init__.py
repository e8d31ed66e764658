"""Training: folders of face photos become a quantized TFLite autoencoder. Runs on a desktop, never on the device."""
