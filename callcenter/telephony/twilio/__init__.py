"""Twilio: Media Streams for the audio, TwiML and REST for the call."""
