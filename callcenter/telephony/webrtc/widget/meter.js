/** Level meters: the loudness of a stream as a number between 0 and 1, ten times a second. */

const EVERY_MS = 100;
const FLOOR_DB = -60;
const FULL_DB = -12;

export class Meters {
  #context = null;
  #timer = null;

  /**
   * @param {{stream: MediaStream, show: (level: number) => void}[]} sources
   */
  start(sources) {
    this.stop();
    this.#context = new AudioContext();
    this.#context.resume(); // some browsers make it asleep when the click was long ago
    const meters = sources.map(({ stream, show }) => ({ read: this.#reader(stream), show }));
    this.#timer = setInterval(() => meters.forEach(({ read, show }) => show(read())), EVERY_MS);
  }

  stop() {
    clearInterval(this.#timer);
    this.#context?.close();
    this.#context = null;
  }

  #reader(stream) {
    const analyser = this.#context.createAnalyser();
    analyser.fftSize = 2048;
    this.#context.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    return () => {
      analyser.getFloatTimeDomainData(samples);
      return level(samples);
    };
  }
}

/** Root mean square in dBFS, mapped to 0..1 between a quiet room and loud speech. */
export function level(samples) {
  const power = samples.reduce((sum, x) => sum + x * x, 0) / samples.length;
  const db = 10 * Math.log10(power + 1e-12);
  return Math.min(1, Math.max(0, (db - FLOOR_DB) / (FULL_DB - FLOOR_DB)));
}
