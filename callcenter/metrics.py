"""Every Prometheus metric and its buckets, in one table.

Labels are of low cardinality: transport, persona, engine, outcome, result, direction, reason.
Never a call id, a number or a worker id (the scrape target already names the process).
The buckets hold the anchors of the service levels (0.08, 0.2, 1.115 and 1.4 s), so that the share
of calls inside a level is exact. Only shells observe; pure code returns numbers.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

SETUP_BUCKETS_S = (0.1, 0.25, 0.5, 1, 2, 3, 5, 10)
TURN_GAP_BUCKETS_S = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.115, 1.4, 2, 3, 5)
STOP_BUCKETS_S = (0.04, 0.08, 0.12, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1, 1.5, 2.5)
FRAME_BUCKETS_S = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.1, 0.16, 0.32)
PREFILL_BUCKETS_S = (0.01, 0.08, 0.1, 0.25, 0.5, 1, 2, 4, 8)
QUEUED_AUDIO_BUCKETS_S = (0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.4)
CONTROL_BUCKETS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
LOST_BUCKETS = (0, 0.001, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2)
MOS_BUCKETS = (1, 2, 2.6, 3.1, 3.6, 4.0, 4.3, 4.5)  # ITU-T G.109's classes of satisfaction

# --- calls (gateway) ------------------------------------------------------------------------------

CALLS_ACTIVE = Gauge("callcenter_calls_active", "Calls with an open leg.", ["transport"])
CALLS = Counter(
    "callcenter_calls_total",
    "Calls by outcome: answered, abandoned, transferred, rejected_capacity, rejected, failed.",
    ["transport", "outcome"],
)
LEG_ENDS = Counter(
    "callcenter_leg_ends_total",
    "Legs that ended by themselves: hangup, lost, rtp_timeout, session_expired, no_ack.",
    ["transport", "reason"],
)
CALL_SETUP_SECONDS = Histogram(
    "callcenter_call_setup_seconds",
    "From the carrier's first message about a call to media in both directions.",
    ["transport"],
    buckets=SETUP_BUCKETS_S,
)
FIRST_AUDIO_SECONDS = Histogram(
    "callcenter_first_audio_seconds",
    "From the start of media to the agent's first sound.",
    ["transport", "persona"],
    buckets=SETUP_BUCKETS_S,
)
REFUSALS = Counter(
    "callcenter_refusals_total",
    "Webhooks and sockets that were refused, by the refusal's code.",
    ["transport", "code"],
)
PUBLISHED_REFUSED = Counter(
    "callcenter_published_refused_total",
    "What stood in Redis as the admin app's and was refused: snapshot or command; by the reason.",
    ["kind", "reason"],
)
SESSIONS = Counter(
    "callcenter_sessions_total",
    "Sessions that began, by the engine that answers; a call that moved has several.",
    ["persona", "engine"],
)
RECLAIMS = Counter(
    "callcenter_reclaims_total",
    "Calls that lost their worker, by what became of them: moved or lost.",
    ["result"],
)
RECLAIMS.labels("moved")  # from 0 on: Prometheus sees no increase in a first sample
RECLAIMS.labels("lost")

# --- access (admin) -------------------------------------------------------------------------------

ADMIN_REFUSALS = Counter(
    "callcenter_admin_refusals_total",
    "Requests of the admin app that were refused for who sent them; kinds: security/refusals.py.",
    ["kind"],
)

# --- turn-taking (gateway) ------------------------------------------------------------------------

TURN_GAP_SECONDS = Histogram(
    "callcenter_turn_gap_seconds",
    "End of the caller's speech to onset of the agent's; overlapping starts are not in here.",
    ["persona", "engine", "kind"],
    buckets=TURN_GAP_BUCKETS_S,
)
TURN_OVERLAP_STARTS = Counter(
    "callcenter_turn_overlap_starts_total",
    "Agent turns that began before the caller had finished.",
    ["persona", "engine"],
)
BARGEIN = Counter(
    "callcenter_bargein_total",
    "Caller speech during agent speech: yielded, ignored_backchannel, missed, false_stop.",
    ["persona", "engine", "result"],
)
BARGEIN_STOP_SECONDS = Histogram(
    "callcenter_bargein_stop_seconds",
    "Onset of the caller's speech to the last agent sample sent.",
    ["persona", "engine"],
    buckets=STOP_BUCKETS_S,
)
BARGEIN_AUDIBLE_STOP_SECONDS = Histogram(
    "callcenter_bargein_audible_stop_seconds",
    "The same to the last agent sample heard: with the backlog at the far end.",
    ["persona", "engine"],
    buckets=STOP_BUCKETS_S,
)
BARGEIN_OVERRUN_SECONDS = Histogram(
    "callcenter_bargein_overrun_seconds",
    "Agent speech that was still queued at the far end when the agent fell silent.",
    ["persona", "engine"],
    buckets=STOP_BUCKETS_S,
)
DOUBLE_TALK_SECONDS = Counter(
    "callcenter_double_talk_seconds_total", "Both sides speak at once.", ["persona"]
)
AGENT_TALK_SECONDS = Counter(
    "callcenter_agent_talk_seconds_total", "The agent speaks.", ["persona"]
)
USER_TALK_SECONDS = Counter("callcenter_user_talk_seconds_total", "The caller speaks.", ["persona"])
BACKCHANNELS = Counter(
    "callcenter_backchannels_total",
    "Short utterances while the other side goes on speaking.",
    ["persona", "by"],
)

# --- media ----------------------------------------------------------------------------------------

MEDIA_JITTER_BUFFER_SECONDS = Histogram(
    "media_jitter_buffer_seconds",
    "How long a caller's frame lay at the worker before its tick.",
    ["transport"],
    buckets=QUEUED_AUDIO_BUCKETS_S,
)
MEDIA_SEND_LEAD_SECONDS = Histogram(
    "media_send_lead_seconds",
    "Agent audio queued at the far end.",
    ["transport"],
    buckets=QUEUED_AUDIO_BUCKETS_S,
)
MEDIA_FRAMES_DROPPED = Counter(
    "media_frames_dropped_total",
    "Frames that were thrown away to keep the latency bounded. Of the caller (in): late_or_fast "
    "and overflow, on the gateway and on the worker; trimmed, one too many for long on the worker. "
    "Of the agent (out): slow_gateway.",
    ["dir", "reason"],
)
MEDIA_GAP_FILL_FRAMES = Counter(
    "media_gap_fill_frames_total",
    "Frames of silence that engines heard in place of caller audio that was not there.",
    ["engine"],
)
MEDIA_PACKETS = Counter("media_packets_total", "Packets of 20 ms.", ["transport", "dir"])
MEDIA_PACKETS_LOST = Counter(
    "media_packets_lost_total", "Caller packets that the carrier skipped.", ["transport"]
)
MEDIA_PACKETS_TRIMMED = Counter(
    "media_packets_trimmed_total",
    "Agent packets left out because too much audio was queued at the far end.",
    ["transport"],
)
MEDIA_PACKETS_CONCEALED = Counter(
    "media_packets_concealed_total",
    "Packets of silence sent because the far end had run dry.",
    ["transport"],
)

MEDIA_DATAGRAMS_REFUSED = Counter(
    "media_datagrams_refused_total",
    "Datagrams that media sockets dropped before a library saw them, by reason: size, not_media, "
    "malformed, forged, stranger, type, flood.",
    ["transport", "reason"],
)

# --- browser calls --------------------------------------------------------------------------------

WEBRTC_PACKETS = Counter(
    "webrtc_packets_total",
    "Packets that did not go as they should: concealed, late, dropped or undecodable ones of "
    "browsers, and unplayed ones for them.",
    ["result"],
)

# --- engine and worker ----------------------------------------------------------------------------

ENGINE_FRAME_SECONDS = Histogram(
    "engine_frame_seconds",
    "Time of one tick; stage total: gather, engine and scatter together.",
    ["engine", "stage"],
    buckets=FRAME_BUCKETS_S,
)
ENGINE_FRAME_DEADLINE_MISSES = Counter(
    "engine_frame_deadline_misses_total", "Ticks that ended after the next was due.", ["engine"]
)
ENGINE_TICKS_SKIPPED = Counter(
    "engine_ticks_skipped_total",
    "Ticks left out because an earlier one took their time.",
    ["engine"],
)
ENGINE_REALTIME_FACTOR = Gauge(
    "engine_realtime_factor",
    "80 ms, shared by the phase groups, over the recent mean time of a tick.",
    ["engine"],
)
ENGINE_PHASE_SESSIONS = Gauge(
    "engine_phase_sessions", "Slots with a session, by phase group.", ["engine", "phase"]
)
ENGINE_PHASE_TICKS = Counter(
    "engine_phase_ticks_total",
    "Ticks by phase group; outcome missed: ended after the group's next one was due.",
    ["engine", "phase", "outcome"],
)
ENGINE_PROMPT_PREFILL_SECONDS = Histogram(
    "engine_prompt_prefill_seconds",
    "From a session's admission to its prompt being in; a known prompt takes less than a tick.",
    ["engine"],
    buckets=PREFILL_BUCKETS_S,
)
ENGINE_FALLBACKS = Counter(
    "engine_fallbacks_total",
    "Fast ways (kernels, graphs, fp8 pages) that were given up at start; the log says why.",
    ["engine"],
)
ENGINE_MEMORY_BYTES = Gauge(
    "engine_memory_bytes",
    "The device's memory as divided at start: weights, sessions (codec state), pages, reserve.",
    ["engine", "kind"],
)
ENGINE_KV_PAGES = Gauge(
    "engine_kv_pages",
    "KV pages; state total, free, or shortened: taken so far from the longest calls' windows.",
    ["engine", "state"],
)
WORKER_SLOTS_TOTAL = Gauge("worker_slots_total", "Slots of this worker.", ["engine"])
WORKER_SLOTS_USED = Gauge("worker_slots_used", "Slots with a session.", ["engine"])
WORKER_READY = Gauge(
    "worker_ready", "1 while the engine steps frames within their deadline.", ["engine"]
)
WORKER_DRAINING = Gauge("worker_draining", "1 while no new session is taken.", ["engine"])
WORKER_VOICES = Counter(
    "worker_voices_total",
    "Published voices that the engine got, by how: own, stored or computed.",
    ["engine", "kind"],
)
WORKER_SESSIONS = Counter(
    "worker_sessions_total",
    "Sessions by how they ended: ended, failed, drained, superseded, refused.",
    ["engine", "outcome"],
)

# --- broker and event loop ------------------------------------------------------------------------

BROKER_ASSIGNMENT_SECONDS = Histogram(
    "broker_assignment_seconds",
    "Time to claim a slot, by result: claimed, no_capacity, unavailable.",
    ["result"],
    buckets=CONTROL_BUCKETS_S,
)
WORKER_HEARTBEAT_AGE_SECONDS = Gauge(
    "worker_heartbeat_age_seconds", "Age of the oldest heartbeat among the live workers.", ["pool"]
)
EVENT_LOOP_LAG_SECONDS = Histogram(
    "event_loop_lag_seconds",
    "How late the event loop wakes a timer.",
    buckets=CONTROL_BUCKETS_S,
)

# --- background tasks and the admin app -----------------------------------------------------------

BACKGROUND_RESTARTS = Counter(
    "callcenter_background_restarts_total",
    "Ends of tasks that should run for ever, by task; each is started again.",
    ["kind"],
)
JOURNAL_REFUSED = Counter(
    "callcenter_journal_refused_total",
    "Entries of the journal that were put aside: not_understood or not_stored.",
    ["reason"],
)
WEBHOOK_DELIVERIES = Counter(
    "callcenter_webhook_deliveries_total",
    "Attempts to deliver to webhooks: delivered, retried (again later) or failed (given up).",
    ["result"],
)
WATCHERS_DROPPED = Counter(
    "callcenter_watchers_dropped_total",
    "People's live views that were ended: slow (did not read in time) or refused (too many).",
    ["reason"],
)
HTTP_REFUSED = Counter(
    "callcenter_http_refused_total",
    "HTTP connections that were closed: slow_headers, large_headers, slow_body, slow_reader, "
    "connections (too many).",
    ["reason"],
)

# --- SIP and RTP ----------------------------------------------------------------------------------

SIP_TURNED_AWAY = Counter(
    "sip_turned_away_total",
    "Messages turned away: stranger, flood, foreign, unauthorized, rate, half_open, channels, ...",
    ["trunk", "code"],
)
SIP_CONNECTIONS = Gauge("sip_connections", "TCP and TLS connections that are up.")
SIP_CONNECTIONS_REFUSED = Counter(
    "sip_connections_refused_total",
    "Connections refused (stranger, full, host_full, rate, tls) or ended (slow, idle, broken).",
    ["reason"],
)
SIP_MALFORMED = Counter("sip_malformed_total", "Messages that could not even be answered.")
SIP_TRANSFERS = Counter(
    "sip_transfers_total", "REFERs by what became of them.", ["trunk", "status"]
)
SIP_REGISTERED = Gauge("sip_registered", "1 while a registrar knows us.", ["trunk"])
RTP_PORTS_FREE = Gauge("rtp_ports_free", "Pairs of RTP ports that are free.")
RTP_STRANGERS = Counter(
    "rtp_strangers_total", "Packets from an address that was not the far end's.", ["trunk"]
)
RTP_REFUSED = Counter(
    "rtp_refused_total", "Packets that were no RTP, forged, or of another type.", ["trunk"]
)
RTP_CONCEALED = Counter("rtp_concealed_total", "Packets that were made up.", ["trunk"])
RTP_LOST_RATIO = Histogram(
    "rtp_lost_ratio",
    "Share of a call's packets that the network lost.",
    ["trunk", "dir"],
    buckets=LOST_BUCKETS,
)
RTP_JITTER_SECONDS = Histogram(
    "rtp_jitter_seconds",
    "Interarrival jitter at the end of a call (RFC 3550).",
    ["trunk"],
    buckets=CONTROL_BUCKETS_S,
)
RTP_ROUND_TRIP_SECONDS = Histogram(
    "rtp_round_trip_seconds",
    "Network round trip by RTCP.",
    ["trunk"],
    buckets=CONTROL_BUCKETS_S,
)
RTP_MOS = Histogram(
    "rtp_mos",
    "Predicted opinion score of a call (E-model, G.107).",
    ["trunk"],
    buckets=MOS_BUCKETS,
)
