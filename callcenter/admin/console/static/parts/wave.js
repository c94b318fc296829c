/** The outline of a clip, drawn from its samples. */

import { s } from "../core/dom.js";

const BARS = 150;

/** @param {string} address of a clip that the browser can decode */
export async function wave(address) {
  const bytes = await (await fetch(address)).arrayBuffer();
  const context = new OfflineAudioContext(1, 1, 24_000);
  const samples = (await context.decodeAudioData(bytes)).getChannelData(0);
  return drawing(peaks(samples, BARS));
}

/** The loudest sample of each of so many equal stretches; the loudest of all is 1. */
export function peaks(samples, number) {
  const size = Math.max(1, Math.floor(samples.length / number));
  const found = Array.from({ length: number }, (_, index) =>
    samples
      .subarray(index * size, (index + 1) * size)
      .reduce((most, one) => Math.max(most, Math.abs(one)), 0),
  );
  const most = Math.max(...found, 1e-6);
  return found.map((one) => one / most);
}

const drawing = (heights) =>
  s(
    "svg",
    {
      class: "wave",
      viewBox: `0 0 ${heights.length * 4} 80`,
      preserveAspectRatio: "none",
      "aria-hidden": "true",
    },
    ...heights.map((height, index) => {
      const tall = Math.max(2, height * 76);
      return s("rect", {
        x: index * 4 + 0.75,
        y: 40 - tall / 2,
        width: 2.5,
        height: tall,
        rx: 1.25,
        fill: "currentColor",
      });
    }),
  );
