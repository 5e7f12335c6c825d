"""Line-intensity mapping: from halos to maps, luminosity functions and the instruments that see them."""
