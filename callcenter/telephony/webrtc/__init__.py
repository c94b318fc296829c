"""The browser's door: WebRTC on aiortc, and the widget that calls through it."""
