// What a phone sees in a picture: the texts of its QR codes, by Debian's zbarimg.
import { spawnSync } from "node:child_process";

export function readCode(png: Buffer): string[] {
  const { status, stdout, stderr, error } = spawnSync("zbarimg", ["--quiet", "--raw", "-Sdisable", "-Sqrcode.enable", "png:-"], { input: png });
  if (error) throw new Error("no program zbarimg: `make deps` installs it", { cause: error });
  if (status !== 0 && status !== 4) throw new Error(`zbarimg: ${stderr}`); // 4: it found no code
  return stdout.toString().split("\n").filter(Boolean);
}
