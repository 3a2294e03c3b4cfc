// Reads a stream of fragmented MP4 as it comes: whole top-level boxes, and from the producer reference times
// (ISO/IEC 14496-12, section 8.16.5) when a frame was taken and when the hub sent it.

/** 1970 minus 1900 in s: NTP counts from 1900. */
const ntpEpoch = 2_208_988_800;
/** A box of the hub is one frame at most; a larger one is no video of the hub. */
const largest = 16 << 20; // bytes

export interface Reference {
  media: number; // presentation time of the frame, in units of 1/90000 s
  at: number; // ms since 1970, the hub's clock
}

export interface Segment {
  bytes: Uint8Array<ArrayBuffer>; // whole boxes
  taken: Reference[];
  sent: Reference[];
  frames: number;
}

export class Fragments {
  #rest: Uint8Array<ArrayBuffer> = new Uint8Array(0);

  /** Takes in what has arrived. Returns the boxes that are complete now; throws where it is no MP4. */
  push(chunk: Uint8Array): Segment {
    const all = new Uint8Array(this.#rest.length + chunk.length);
    all.set(this.#rest);
    all.set(chunk, this.#rest.length);
    const view = new DataView(all.buffer);
    const segment: Segment = { bytes: all, taken: [], sent: [], frames: 0 };
    let at = 0;
    while (all.length - at >= 8) {
      const size = view.getUint32(at);
      if (size < 8 || size > largest) throw new Error("the answer is not MP4");
      if (all.length - at < size) break;
      const type = String.fromCharCode(...all.subarray(at + 4, at + 8));
      if (type === "mdat") segment.frames += 1;
      if (type === "prft" && size >= 32) {
        const seconds = view.getUint32(at + 16) - ntpEpoch + view.getUint32(at + 20) / 2 ** 32;
        const media = view.getUint32(at + 24) * 2 ** 32 + view.getUint32(at + 28);
        (all[at + 11] === 0 ? segment.taken : segment.sent).push({ media, at: seconds * 1000 });
      }
      at += size;
    }
    this.#rest = all.slice(at);
    segment.bytes = all.subarray(0, at);
    return segment;
  }
}
