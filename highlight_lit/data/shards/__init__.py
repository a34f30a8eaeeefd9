"""The HDF5 file that features lie in: what is in it (`format`), reading, writing, and checking all of it (`verify`)."""

from highlight_lit.data.shards.reader import Shard
from highlight_lit.data.shards.writer import SHARD_BYTES, ShardWriter, write_shards

__all__ = ["SHARD_BYTES", "Shard", "ShardWriter", "write_shards"]
