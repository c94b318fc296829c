"""What remains of calls: their events, written by gateways and read by the admin app."""
