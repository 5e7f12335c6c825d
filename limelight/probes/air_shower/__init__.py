"""Radio detection of air showers: a trigger on traces of one antenna, and directions from arrays of antennas."""
