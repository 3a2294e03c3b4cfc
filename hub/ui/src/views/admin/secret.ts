/** A password that can be read over the phone: no letters that look like others, in groups. 80 bits. */
export function newPassword(): string {
  const letters = "abcdefghjkmnpqrstuvwxyz23456789"; // 31
  const out: string[] = [];
  const bytes = new Uint8Array(1);
  while (out.length < 16) {
    crypto.getRandomValues(bytes);
    if (bytes[0]! < 248) out.push(letters[bytes[0]! % 31]!); // 248 = 8 * 31: every letter is as likely
  }
  return out.join("").replace(/(.{4})(?=.)/g, "$1-");
}
