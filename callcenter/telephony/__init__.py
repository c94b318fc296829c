"""Carriers: each turns its own protocol into one `leg.Leg`."""
