// A picture to a file, on this machine; the hub is not asked.

/** gate-7_yard_2026-05-03_14-03-27.jpg: the camera, and when the picture was taken, in local time. Pure. */
export function fileName(edge: string, device: string, at: number): string {
  const d = new Date(at);
  const two = (n: number) => String(n).padStart(2, "0");
  const day = `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
  return `${edge}_${device}_${day}_${two(d.getHours())}-${two(d.getMinutes())}-${two(d.getSeconds())}.jpg`;
}

/** Saves what a video shows, in its own size. False when it shows nothing. */
export async function save(video: HTMLVideoElement, file: string): Promise<boolean> {
  if (!video.videoWidth || !video.videoHeight) return false;
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d")?.drawImage(video, 0, 0);
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
  if (!blob) return false;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = file;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  return true;
}
