"""Programs that call the system from outside and judge what they hear."""
