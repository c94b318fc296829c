"""Voice uploads: decoding within limits, measuring, and the consent that they need."""
