"""Turn folders of face photos into a quantized TFLite autoencoder, on a desktop and never on the device."""
