"""What the worker reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from callcenter.settings.common import HTTP_SCHEMES, CommonSettings, Port, Seconds, unique_id

EngineKind = Literal["rehearsal", "personaplex", "cascade"]
FormatWish = Literal["auto", "bf16", "fp8", "int8"]


class WorkerSettings(CommonSettings):
    """The worker's settings.

    Attributes:
        worker_id: its name in the broker's books; made up from the host's when empty.
        worker_pool: the pool that the worker joins.
        worker_host: where both ports listen.
        worker_port: the link's port (one WebSocket per call).
        worker_url: where gateways reach the link; derived from host and port when empty.
        worker_tls_certificate, worker_tls_key: PEM files; with them the link is wss:// only.
        worker_tls_client_ca: PEM file; gateways must then show a certificate of this CA.
        worker_http_port: port of /healthz, /readyz and /metrics.
        worker_slots: how many calls at once; a GPU without memory for so many takes fewer.
        engine: which engine answers; `rehearsal` is a partner for tests, not a model.
        personas_dir: the personas to make ready at start; the shipped ones when empty.
        heartbeat_s: how often the worker tells the broker that it lives.
        drain_deadline_s: how long a draining worker lets its calls go on.
        pod_name, pod_namespace: this worker's pod; set, it tells the cluster how many calls it
            has, so that a scale-down picks an idle one.
        kubernetes_service_host, kubernetes_service_port: set by Kubernetes in every pod.

    For ENGINE=personaplex:
        checkpoint: a checkpoint folder or a Hugging Face repo id.
        checkpoint_revision: pinned revision of the repo; needed when `checkpoint` is a repo id.
        hf_token: access token for the repo.
        voices_dir: voice clips; the voices that come with the personas when empty.
        device: where the engine runs: `cpu`, `cuda`, or one of several GPUs, such as `cuda:1`.
        engine_kernels, engine_graphs, engine_tf32: on a GPU, run the model in fused kernels, as
            recorded graphs, its codec in TF32; false for the plain way, to find a fault. A GPU on
            which the kernels do not run is refused unless engine_kernels is false.
        kv_format: how a GPU keeps keys and values: `bf16`, in 8 bits as `fp8` (compute capability
            8.9 or later) or `int8`, which hold twice the calls, or `auto`: 8 bits where the memory
            does not hold every slot's full window otherwise.
        kv_pages: pages of keys and values; 0 takes what every slot's full window needs, or what
            the device has.
        weights_format: the same for the model's layers: 8 bits take 6 GiB less and need
            engine_kernels; `auto` takes them where they let a fifth more calls in.
        gpu_reserve_gib: device memory that stays free of keys and values.
        min_window_positions: under memory pressure a call remembers at least so much; 12.5 a
            second.
        phase_groups: 2 lets the two halves of the slots tick 40 ms apart.
        prompt_positions: the longest prompt, voice included.
        cached_prompts: prompts that stay known while nobody uses them; at least the personas'.

    For ENGINE=cascade:
        cascade_threads: worker threads for all calls together; as many as there are cores.
        cascade_whisper: name, folder or hub id of another recogniser (CTranslate2); the packaged
            one when empty.
        cascade_voice: path of another Piper voice; the packaged one when empty.
        cascade_voices: Piper voices that speak for personas' voices, separated by commas:
            clara=/voices/en_US-amy-medium.onnx; the others are spoken by cascade_voice.
        cascade_cache_dir: keeps rendered lines between starts; memory only when empty.
        llm_base_url: of an OpenAI-compatible endpoint, such as http://127.0.0.1:8000/v1; without
            it the persona's dialogue answers alone.
        llm_model, llm_api_key: the model's name there, and the bearer key if it wants one.
        llm_first_sentence_s: after this long the persona's dialogue answers instead.
        llm_next_sentence_s: the longest pause between two sentences.
        llm_max_tokens: of one answer.
    """

    worker_id: str = Field(default_factory=lambda: unique_id("worker"))
    worker_pool: str = "main"
    worker_host: str = "127.0.0.1"
    worker_port: Port = 8090
    worker_url: str | None = None
    worker_tls_certificate: Path | None = None
    worker_tls_key: Path | None = None
    worker_tls_client_ca: Path | None = None
    worker_http_port: Port = 8091
    worker_slots: Annotated[int, Field(ge=1)] = 4
    engine: EngineKind = "rehearsal"
    checkpoint: str | None = None
    checkpoint_revision: str | None = None
    hf_token: SecretStr | None = None
    personas_dir: Path | None = None
    voices_dir: Path | None = None
    device: str = "cpu"
    heartbeat_s: Seconds = 1.0
    drain_deadline_s: Seconds = 3_600.0
    pod_name: str | None = None
    pod_namespace: str | None = None
    kubernetes_service_host: str | None = None
    kubernetes_service_port: Port = 443

    engine_kernels: bool = True
    engine_graphs: bool = True
    engine_tf32: bool = True
    kv_format: FormatWish = "auto"
    kv_pages: Annotated[int, Field(ge=0)] = 0
    weights_format: FormatWish = "auto"
    gpu_reserve_gib: Annotated[float, Field(ge=0)] = 3.0
    min_window_positions: Annotated[int, Field(ge=1)] = 1_500
    phase_groups: Annotated[int, Field(ge=1, le=2)] = 1
    prompt_positions: Annotated[int, Field(ge=1)] = 768
    cached_prompts: Annotated[int, Field(ge=0)] = 8

    cascade_threads: Annotated[int, Field(ge=1)] = 2
    cascade_whisper: str = ""
    cascade_voice: str = ""
    cascade_voices: Annotated[dict[str, Path], NoDecode] = Field(default_factory=dict)
    cascade_cache_dir: Path | None = None
    llm_base_url: str | None = None
    llm_model: str = ""
    llm_api_key: SecretStr | None = None
    llm_first_sentence_s: Seconds = 1.5
    llm_next_sentence_s: Seconds = 3.0
    llm_max_tokens: Annotated[int, Field(ge=1)] = 120

    @field_validator("cascade_voices", mode="before")
    @classmethod
    def _voices_by_name(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
        if not all(name.strip() and path.strip() for name, _, path in pairs):
            raise ValueError("write name=path, separated by commas")
        return {name.strip(): path.strip() for name, _, path in pairs}

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.worker_tls_certificate is None) != (self.worker_tls_key is None):
            raise ValueError("WORKER_TLS_CERTIFICATE and WORKER_TLS_KEY need each other")
        if self.worker_tls_client_ca is not None and self.worker_tls_certificate is None:
            raise ValueError("WORKER_TLS_CLIENT_CA needs WORKER_TLS_CERTIFICATE")
        if self.worker_tls_certificate and (self.worker_url or "wss://")[:6] != "wss://":
            raise ValueError("WORKER_URL must begin with wss:// where the link's port speaks TLS")
        return self

    @model_validator(mode="after")
    def _endpoint_is_whole(self) -> Self:
        if self.llm_base_url is None:
            return self
        if urlsplit(self.llm_base_url).scheme not in HTTP_SCHEMES:
            raise ValueError("LLM_BASE_URL must begin with http:// or https://")
        if not self.llm_model:
            raise ValueError("LLM_BASE_URL needs LLM_MODEL, the model's name there")
        return self
