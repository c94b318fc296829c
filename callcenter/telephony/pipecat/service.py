"""`PersonaPlexService`: a full-duplex agent in any pipecat pipeline.

    service = PersonaPlexService(agents.caller("bank"))
    pipeline = Pipeline([transport.input(), service, transport.output(), service.marks()])

Audio goes in and comes out all the time, silence included; the model itself yields when it is
interrupted. So the service proposes no turns and sends no interruption, and nothing that was sent
is ever cut. `marks()` stands behind the output and tells how far the transport has come, so that a
backlog behind a stalled transport is won back in the agent's next pause.

Run the pipeline at the carrier's rate in both directions: then nobody resamples anything. Frames in
another form than the call's are converted. It knows pipecat's public base classes only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from pipecat.frames.frames import (
    CancelFrame,
    DataFrame,
    EndFrame,
    EndWorkerFrame,
    Frame,
    InputAudioRawFrame,
    InputDTMFFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMServiceMetadataFrame,
    LLMTextFrame,
    SpeechOutputAudioRawFrame,
    StartFrame,
    TTSTextFrame,
)
from pipecat.processors.frame_processor import (
    FrameDirection,
    FrameProcessor,
    FrameProcessorSetup,
)
from pipecat.services.ai_service import AIService
from pipecat.services.settings import ServiceSettings
from pipecat.turns.user_turn_strategies import ExternalUserTurnStrategies
from pipecat.utils.text.base_text_aggregator import TextType

from callcenter.errors import BrokerUnavailable, ProtocolError, Refused
from callcenter.telephony.leg import Leg
from callcenter.telephony.pipecat.form import AudioForm, call_rate, converter
from callcenter.telephony.pipecat.leg import PipelineLeg

TURN_PAUSE_S = 0.8  # text that comes later begins a new turn of the transcript
END_TIMEOUT_S = 2.0  # for the call to give its slot back
MAX_REFUSED_FORMS = 4  # of audio frames; more are not told

Carry = Callable[[Leg], Awaitable[object]]

log = structlog.get_logger(__name__)


@dataclass
class PlayoutMarkFrame(DataFrame):
    """Stands behind audio; what comes out of the output transport has been played.

    Attributes:
        mark: its name.
    """

    mark: str


class PersonaPlexService(AIService):
    """One call's agent.

    Args:
        carry: runs a call on a leg, to its end; for instance `Agents.caller(persona)`.
        kwargs: for pipecat's base class.
    """

    def __init__(self, carry: Carry, **kwargs: object) -> None:
        super().__init__(settings=ServiceSettings(model="personaplex"), **kwargs)
        self._carry = carry
        self._leg: PipelineLeg | None = None
        self._call: asyncio.Task[None] | None = None
        self._turn: asyncio.Task[None] | None = None
        self._rates_hz = (0, 0)  # in, out
        self._heard: AudioForm | None = None
        self._played: AudioForm | None = None
        self._refused: set[str] = set()  # forms of frames that were told to be none

    def marks(self) -> PlayoutMarks:
        """The processor that goes behind the pipeline's output."""
        return PlayoutMarks(self._mark_played)

    def service_metadata_frame(self) -> LLMServiceMetadataFrame:
        """Asks aggregators to leave turns and interruptions to the model."""
        return LLMServiceMetadataFrame(
            service_name=self.name,
            user_turn_strategies=ExternalUserTurnStrategies(enable_interruptions=False),
        )

    # --- life of the pipeline ---------------------------------------------------------------------

    async def setup(self, setup: FrameProcessorSetup) -> None:
        """Notes the pipeline's rates."""
        await super().setup(setup)
        self._rates_hz = (setup.audio_in_sample_rate, setup.audio_out_sample_rate)

    async def start(self, frame: StartFrame) -> None:
        """Begins the call."""
        await super().start(frame)
        heard_hz, played_hz = self._rates_hz
        rate_hz = call_rate(played_hz)
        try:
            for pipeline_hz in self._rates_hz:
                converter(pipeline_hz, rate_hz)
        except ProtocolError as error:
            self._call = self.create_task(
                self._refuse(
                    ProtocolError(
                        f"{error}: set both audio_in_sample_rate ({heard_hz}) and "
                        f"audio_out_sample_rate ({played_hz}) to the carrier's"
                    )
                )
            )
            return
        self._leg = PipelineLeg(rate_hz, {}, self)
        self._heard, self._played = AudioForm(rate_hz), AudioForm(played_hz)
        self._call = self.create_task(self._run(self._leg))

    async def stop(self, frame: EndFrame) -> None:
        """Ends the call; the slot is given back before the pipeline goes on ending."""
        await super().stop(frame)
        await self._end_call()

    async def cancel(self, frame: CancelFrame) -> None:
        """Ends the call at once."""
        await super().cancel(frame)
        await self._end_call()

    async def cleanup(self) -> None:
        """Ends what a pipeline that broke has left."""
        await self._end_call()
        await super().cleanup()

    # --- caller -> call ---------------------------------------------------------------------------

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Takes audio and keys; everything is passed on as it came."""
        await super().process_frame(frame, direction)
        if self._leg is not None:
            if isinstance(frame, InputAudioRawFrame):
                await self._hear(frame, self._leg)
            elif isinstance(frame, InputDTMFFrame):
                self._leg.press(frame.button.value)
        await self.push_frame(frame, direction)

    async def _hear(self, frame: InputAudioRawFrame, leg: PipelineLeg) -> None:
        if self._heard is None:
            return
        try:
            leg.hear(self._heard.take(frame.audio, frame.sample_rate, frame.num_channels))
        except ProtocolError as error:  # a transport that sends what is no audio: told once
            if str(error) not in self._refused and len(self._refused) < MAX_REFUSED_FORMS:
                self._refused.add(str(error))
                await self.push_error(str(error), exception=error)

    def _mark_played(self, name: str) -> None:
        if self._leg is not None:
            self._leg.mark_played(name)

    # --- call -> caller (the leg's Outlet) --------------------------------------------------------

    async def play(self, payload: bytes) -> None:
        """A continuous speech stream, not the output of a TTS: nothing may cut it."""
        played_hz = self._rates_hz[1]
        if self._played is not None:
            payload = self._played.take(payload, call_rate(played_hz), 1)
        await self.push_frame(
            SpeechOutputAudioRawFrame(audio=payload, sample_rate=played_hz, num_channels=1)
        )

    async def mark(self, name: str) -> None:
        """Goes through the output's queue, behind the audio."""
        await self.push_frame(PlayoutMarkFrame(mark=name))

    async def caption(self, text: str) -> None:
        """For transcripts and RTVI clients; not to be spoken again."""
        if self._turn is None:
            await self.push_frame(LLMFullResponseStartFrame())
        else:
            self._turn.cancel()
        shown = LLMTextFrame(text)
        shown.append_to_context = False  # the aggregator takes the spoken form below
        await self.push_frame(shown)
        spoken = TTSTextFrame(text, text_type=TextType.SENTENCE)
        spoken.includes_inter_frame_spaces = True
        await self.push_frame(spoken)
        self._turn = self.create_task(self._end_turn())

    async def end(self, code: str) -> None:
        """Ends the pipeline in order, what was sent being played first."""
        log.info("pipeline_call_over", code=code)
        await self.push_frame(EndWorkerFrame(reason=code))

    # --- inside -----------------------------------------------------------------------------------

    async def _run(self, leg: PipelineLeg) -> None:
        try:
            await self._carry(leg)
        except (Refused, BrokerUnavailable) as error:
            await self.push_error(
                f"no agent: {error}", exception=error, force_treat_as_permanent=True
            )
        await leg.close("over")

    async def _refuse(self, error: ProtocolError) -> None:
        """A pipeline that cannot have a call; nobody would hang up on its caller."""
        await self.push_error(str(error), exception=error, force_treat_as_permanent=True)
        await self.end("refused")

    async def _end_turn(self) -> None:
        await asyncio.sleep(TURN_PAUSE_S)
        self._turn = None
        await self.push_frame(LLMFullResponseEndFrame())

    async def _end_call(self) -> None:
        leg, self._leg = self._leg, None
        call, self._call = self._call, None
        turn, self._turn = self._turn, None
        if turn is not None:
            await self.cancel_task(turn)
            await self.push_frame(LLMFullResponseEndFrame())
        if leg is not None:
            leg.hung_up()
        if call is not None:
            await asyncio.wait([call], timeout=END_TIMEOUT_S)
            await self.cancel_task(call)


class PlayoutMarks(FrameProcessor):
    """Stands behind the output and says which marks have come through.

    Args:
        on_mark: told their names.
    """

    def __init__(self, on_mark: Callable[[str], None]) -> None:
        super().__init__()
        self._on_mark = on_mark

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Takes marks out and passes everything else on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, PlayoutMarkFrame):
            self._on_mark(frame.mark)
        else:
            await self.push_frame(frame, direction)
