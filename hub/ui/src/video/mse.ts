// Plays fragmented MP4 by Media Source Extensions, close to what has arrived last.
import type { Playback } from "./line";

/** Bounds, s of video and bytes. */
const keptBehind = 5; // of what was played
const tooFar = 2; // behind the newest frame: jump there
const far = 0.7; // behind: play faster
const near = 0.35; // behind: play as usual
const joinAt = 0.05; // before the newest frame
const queued = 16 << 20;

export class MsePlayback implements Playback {
  #source = new MediaSource();
  #buffer: SourceBuffer | null = null;
  #queue: Uint8Array<ArrayBuffer>[] = [];
  #bytes = 0; // in the queue
  #video: HTMLVideoElement | null = null;
  #started = false;
  #closed = false;

  constructor(
    private readonly type: string,
    private readonly broken: (why: string) => void,
  ) {
    this.#source.addEventListener("sourceopen", () => this.#open(), { once: true });
  }

  attach(video: HTMLVideoElement): () => void {
    const url = URL.createObjectURL(this.#source);
    const failed = () => this.#break(video.error?.message ?? "");
    this.#video = video;
    video.srcObject = null;
    video.src = url;
    video.addEventListener("error", failed);
    return () => {
      video.removeEventListener("error", failed);
      URL.revokeObjectURL(url);
      this.#video = null;
      if (video.src !== url) return; // it shows something else already
      video.playbackRate = 1;
      video.removeAttribute("src");
      video.load();
    };
  }

  append(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#closed) return;
    this.#queue.push(bytes);
    this.#bytes += bytes.length;
    if (this.#bytes > queued) return this.#break("the video is not played as fast as it comes");
    this.#next();
  }

  close(): void {
    this.#closed = true;
    this.#queue = [];
  }

  #open(): void {
    if (this.#closed) return;
    try {
      this.#buffer = this.#source.addSourceBuffer(this.type);
    } catch (error) {
      return this.#break(error instanceof Error ? error.message : String(error));
    }
    this.#buffer.addEventListener("updateend", () => this.#next());
    this.#next();
  }

  /** Does the next of what is to be done with the buffer: one thing at a time. */
  #next(): void {
    const buffer = this.#buffer;
    if (this.#closed || !buffer || buffer.updating || this.#source.readyState !== "open") return;
    try {
      this.#follow(buffer.buffered);
      const played = this.#video?.currentTime ?? 0;
      if (buffer.buffered.length > 0 && buffer.buffered.start(0) < played - 2 * keptBehind) return buffer.remove(0, played - keptBehind);
      if (this.#queue.length === 0) return;
      const all = this.#queue.length === 1 ? this.#queue[0]! : joined(this.#queue, this.#bytes);
      this.#queue = [];
      this.#bytes = 0;
      buffer.appendBuffer(all);
    } catch (error) {
      this.#break(error instanceof Error ? error.message : String(error));
    }
  }

  /** Keeps what is shown close to what has arrived. */
  #follow(ranges: TimeRanges): void {
    const video = this.#video;
    if (!video || ranges.length === 0) return;
    const begin = ranges.start(ranges.length - 1);
    const end = ranges.end(ranges.length - 1);
    const behind = end - video.currentTime;
    if (!this.#started || behind > tooFar || video.currentTime < begin) {
      this.#started = true;
      video.currentTime = Math.max(begin, end - joinAt);
      return;
    }
    if (behind > far) video.playbackRate = 1.1;
    else if (behind < near) video.playbackRate = 1;
  }

  #break(why: string): void {
    if (this.#closed) return;
    this.close();
    this.broken(why);
  }
}

function joined(parts: Uint8Array<ArrayBuffer>[], length: number): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(length);
  let at = 0;
  for (const p of parts) {
    all.set(p, at);
    at += p.length;
  }
  return all;
}
