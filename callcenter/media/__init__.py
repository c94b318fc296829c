"""Audio cores between a carrier and the model: no sockets, no clock."""
