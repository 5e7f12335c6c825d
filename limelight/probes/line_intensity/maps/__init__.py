"""The voxel grid, painting, the instrument, foregrounds, pooling, and the files of maps."""
