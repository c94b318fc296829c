/**
 * One call: microphone, WebRTC connection, and what the gateway says on the data channel.
 * It knows no page: what happens is told by events.
 *
 *   "state"    detail: { state: "connecting" | "talking" | "ended" | "failed", code };
 *              "connecting" once more when a lost network is followed by a fresh call
 *   "microphone"  it is open; now the line is asked for
 *   "agent"    detail: { title, phone }  whose line it is, and the number to call for a person
 *   "caption"  detail: { text }
 *   "weak"     detail: { weak }  the network has dropped out, or is back
 *   "blocked"  the browser wants a click before it plays sound
 */

const GATHER_MS = 400; // what ICE finds later is sent after the offer
const ANSWER_MS = 15_000; // of the gateway's API; it may ask a TURN server meanwhile
const CONNECT_MS = 20_000;
const AGAIN_MS = 8_000; // for the fresh call that follows a lost network
const AGAIN_EVERY_MS = 60_000;
const PING_MS = 1_000; // pipecat's server side takes a silent channel for a dead one
const SEND_MS = 200; // for the last message, which closing would throw away
const HANG_UP = { type: "hangup" };
const PLAYOUT_HINT_MS = 0; // as little as the network allows; the browser adapts

// Every other reason for which the gateway ends a call is a failure.
const ORDERLY = new Set([
  "agent_hangup",
  "operator_hangup",
  "hangup",
  "max_duration",
  "handoff_to_fallback",
]);

// What getUserMedia's errors mean to a visitor.
const MICROPHONE_TROUBLE = {
  NotAllowedError: "microphone_blocked",
  SecurityError: "microphone_blocked",
  NotReadableError: "microphone_busy",
  AbortError: "microphone_busy",
};

export class CallFailed extends Error {
  constructor(code) {
    super(code);
    this.code = code;
  }
}

export class Phone extends EventTarget {
  #gateway;
  #peer = null;
  #channel = null;
  #microphone = null;
  #ping = null;
  #connecting = null;
  #persona = null;
  #calledAgainAt = null;
  #over = false;

  /** @param {string} gateway its address */
  constructor(gateway) {
    super();
    this.#gateway = gateway.endsWith("/") ? gateway : `${gateway}/`;
    this.speaker = new Audio();
    this.speaker.autoplay = true;
  }

  /** The caller's stream; null before the microphone is open. */
  get microphone() {
    return this.#microphone;
  }

  /** The agent's stream; null before it is there. */
  get voice() {
    return this.speaker.srcObject;
  }

  /** Calls a persona; resolves when it has answered, or when the call has failed. */
  async start(persona) {
    this.#tell("state", { state: "connecting" });
    this.#persona = persona;
    try {
      this.#microphone = await openMicrophone();
      if (this.#over) return this.#release();
      this.#tell("microphone", {});
      this.#connectWithin(CONNECT_MS, "no_connection");
      await this.#dial();
    } catch (error) {
      this.#end("failed", error instanceof CallFailed ? error.code : "internal");
      if (!(error instanceof CallFailed)) throw error;
    }
    return undefined;
  }

  mute(muted) {
    for (const track of this.#microphone?.getAudioTracks() ?? []) track.enabled = !muted;
  }

  /** Presses a key of the keypad: the agent's side gets it as a telephone's tone (DTMF). */
  press(digit) {
    this.#say({ type: "digit", digit });
  }

  hangUp() {
    this.#say(HANG_UP);
    this.#end("ended", "hangup");
  }

  /** Tries again to play, after a click. */
  async unblock() {
    await this.speaker.play();
  }

  async #dial() {
    const session = await this.#post("api/session", "POST", { persona: this.#persona });
    if (this.#over) return;
    this.#tell("agent", { title: session.title, phone: session.phone ?? "" });
    await this.#connect(session);
  }

  /**
   * The gateway cannot go over to another network in mid-call (no ICE restart): the visitor is
   * called anew over the one that is there now, at most once a minute, or told that it is over.
   */
  async #callAgain() {
    const isSoon = this.#calledAgainAt && Date.now() - this.#calledAgainAt < AGAIN_EVERY_MS;
    if (this.#over || isSoon) {
      this.#end("failed", "connection_lost");
      return;
    }
    this.#calledAgainAt = Date.now();
    clearInterval(this.#ping);
    this.#peer.close();
    this.#tell("state", { state: "connecting" });
    this.#tell("microphone", {});
    this.#connectWithin(AGAIN_MS, "connection_lost");
    try {
      await this.#dial();
    } catch (error) {
      this.#end("failed", "connection_lost");
      if (!(error instanceof CallFailed)) throw error;
    }
  }

  #connectWithin(ms, code) {
    clearTimeout(this.#connecting);
    this.#connecting = setTimeout(() => this.#end("failed", code), ms);
  }

  async #connect(session) {
    const peer = new RTCPeerConnection({ iceServers: session.ice_servers });
    this.#peer = peer;
    const [track] = this.#microphone.getAudioTracks();
    track.addEventListener("ended", () => this.#end("failed", "microphone_lost"));
    peer.addTrack(track, this.#microphone); // audio comes first in the offer
    this.#openChannel(peer);
    peer.addEventListener("track", (event) => this.#play(event));
    peer.addEventListener("connectionstatechange", () => {
      if (peer === this.#peer) this.#followConnection(peer.connectionState);
    });

    const late = new CandidateSender(peer, (candidates, pc_id) =>
      this.#post("api/offer", "PATCH", { pc_id, candidates }),
    );
    await peer.setLocalDescription();
    await gathered(peer);
    if (this.#over) return;
    late.cut();
    const { sdp, type } = peer.localDescription;
    const answer = await this.#post("api/offer", "POST", { sdp, type }, session.token);
    await peer.setRemoteDescription({ sdp: answer.sdp, type: answer.type });
    late.send(answer.pc_id);
  }

  #openChannel(peer) {
    this.#channel = peer.createDataChannel("events");
    this.#channel.addEventListener("message", (event) => this.#hear(event.data));
    this.#ping = setInterval(() => this.#say("ping"), PING_MS);
  }

  #hear(text) {
    const message = JSON.parse(text);
    if (message.type === "caption") this.#tell("caption", { text: message.text });
    if (message.type === "ended") this.#endedByGateway(message.code);
  }

  #endedByGateway(code) {
    this.#end(ORDERLY.has(code) ? "ended" : "failed", code);
  }

  #play({ receiver, streams, track }) {
    receiver.jitterBufferTarget = PLAYOUT_HINT_MS;
    this.speaker.srcObject = streams[0] ?? new MediaStream([track]);
    this.speaker.play().catch(() => this.#tell("blocked", {}));
  }

  #followConnection(state) {
    if (state === "connected") {
      clearTimeout(this.#connecting);
      this.#tell("state", { state: "talking" });
    }
    if (state === "connected" || state === "disconnected") {
      this.#tell("weak", { weak: state === "disconnected" });
    }
    if (state === "failed" || state === "closed") this.#callAgain();
  }

  #say(message) {
    if (this.#channel?.readyState !== "open") return;
    this.#channel.send(typeof message === "string" ? message : JSON.stringify(message));
  }

  async #post(path, method, body, token) {
    const headers = { "Content-Type": "application/json" };
    if (token) headers.Authorization = `Bearer ${token}`;
    const request = { method, headers, body: JSON.stringify(body) };
    let response;
    try {
      const signal = AbortSignal.timeout(ANSWER_MS);
      response = await fetch(this.#gateway + path, { ...request, signal });
    } catch {
      throw new CallFailed("unreachable");
    }
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) throw new CallFailed(answer.code ?? "unreachable");
    return answer;
  }

  #end(state, code) {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#connecting);
    clearInterval(this.#ping);
    this.#release();
    this.#tell("state", { state, code });
  }

  #release() {
    for (const track of this.#microphone?.getTracks() ?? []) track.stop();
    this.speaker.srcObject = null;
    if (this.#peer) leave(this.#peer, this.#channel);
    this.#peer = null;
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** Keeps the candidates that came too late for the offer, and sends them once it is answered. */
class CandidateSender {
  #waiting = [];
  #send;
  #pcId = null;
  #isLate = false;

  constructor(peer, send) {
    this.#send = send;
    peer.addEventListener("icecandidate", ({ candidate }) => {
      if (!this.#isLate || !candidate?.candidate) return;
      this.#waiting.push({
        candidate: candidate.candidate,
        sdp_mid: candidate.sdpMid,
        sdp_mline_index: candidate.sdpMLineIndex,
      });
      this.#flush();
    });
  }

  /** From now on, candidates are not in the offer any more. */
  cut() {
    this.#isLate = true;
  }

  send(pcId) {
    this.#pcId = pcId;
    this.#flush();
  }

  #flush() {
    if (this.#pcId === null || this.#waiting.length === 0) return;
    // One address fewer is no reason to give the call up.
    this.#send(this.#waiting.splice(0), this.#pcId).catch(() => {});
  }
}

/** Closes a connection. A gateway that is just answering is told, or it would hold the line. */
function leave(peer, channel) {
  const closeSoon = () => setTimeout(() => peer.close(), SEND_MS);
  if (channel.readyState === "connecting") {
    channel.addEventListener("open", () => channel.send(JSON.stringify(HANG_UP)));
    channel.addEventListener("open", closeSoon);
    setTimeout(() => peer.close(), CONNECT_MS);
  } else {
    closeSoon();
  }
}

async function openMicrophone() {
  if (!navigator.mediaDevices?.getUserMedia) throw new CallFailed("insecure_page");
  try {
    // Without echo cancellation the agent hears itself and stops for its own voice.
    return await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
    });
  } catch (error) {
    throw new CallFailed(MICROPHONE_TROUBLE[error.name] ?? "microphone_missing");
  }
}

function gathered(peer) {
  return new Promise((resolve) => {
    if (peer.iceGatheringState === "complete") resolve();
    setTimeout(resolve, GATHER_MS);
    peer.addEventListener("icegatheringstatechange", () => {
      if (peer.iceGatheringState === "complete") resolve();
    });
  });
}
