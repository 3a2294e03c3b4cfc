// A picture to a file, on this machine; the hub is not asked.

/** gate-7_yard_2026-05-03_14-03-27.jpg: the camera, and when the picture was taken, in local time. Pure. */
export function fileName(edge: string, device: string, at: number): string {
  const d = new Date(at);
  const two = (n: number) => String(n).padStart(2, "0");
  const day = `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
  return `${edge}_${device}_${day}_${two(d.getHours())}-${two(d.getMinutes())}-${two(d.getSeconds())}.jpg`;
}

/** Saves a picture in its own size. False when there is nothing to be seen. */
export async function save(picture: HTMLVideoElement | HTMLCanvasElement, file: string): Promise<boolean> {
  const [width, height] = picture instanceof HTMLVideoElement ? [picture.videoWidth, picture.videoHeight] : [picture.width, picture.height];
  if (!width || !height) return false;
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d")?.drawImage(picture, 0, 0);
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
  if (!blob) return false;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = file;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  return true;
}
