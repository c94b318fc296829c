"""HTTP servers whose connections are bounded in number, size and time."""
