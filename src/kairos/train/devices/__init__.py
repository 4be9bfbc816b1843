"""Devices and processes: ranks, Lightning strategies, sharding."""
