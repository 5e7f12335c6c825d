"""Images of galaxy fields, whose luminosity function a network reads straight from the pixels."""
