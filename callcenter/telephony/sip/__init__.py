"""SIP trunks and PBXs: sans-IO cores, and thin shells on sockets round them."""
