"""The published configuration: what gateways answer calls by, carried by Redis.

The admin app writes it, gateways and workers read it and keep it in memory: with the admin app,
its database and Redis gone, calls are answered by the last one that came.
"""
