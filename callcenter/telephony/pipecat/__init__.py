"""PersonaPlex as a service in pipecat pipelines, and so for every carrier that pipecat speaks."""
