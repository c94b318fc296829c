"""A voice agent without a GPU: hears with Whisper, answers from a persona, speaks with Piper.

Empty on purpose beyond these words: `engine.cascade.engine` is the way in.
"""
