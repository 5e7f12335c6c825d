"""Training data of every probe: one file format, the shard, and what a network is asked to answer, the target."""

from limelight.data.shard import Header, Rows, open_shard, read_shards, write_shard

__all__ = ["Header", "Rows", "open_shard", "read_shards", "write_shard"]
