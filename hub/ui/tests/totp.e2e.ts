// A second factor: turned on with an authenticator app, asked for at the log-in, turned off again.
import { createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";
import { readCode } from "./support/code";
import { type Person, ways } from "./support/people";
import { room } from "./support/room";
import { password } from "./support/stage";

/** What an authenticator app shows at a time (RFC 6238, SHA-1, 6 digits, 30 s). */
function codeAt(secret: string, ms: number): string {
  const bits = [...secret].map((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g)!.map((b) => parseInt(b, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(ms / 30_000)));
  const mac = createHmac("sha1", key).update(step).digest();
  return String((mac.readUInt32BE(mac[19]! & 15) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

const name = (language: string, hand: string) => `two-${language.toLowerCase()}-${hand}`;
const hall = room({}, async (stage) => {
  for (const [language, hand] of ways) await stage.user(name(language, hand), "dispatcher");
});

async function openDialog(p: Person) {
  await p.press("#user");
  await p.press('#user + .panel [data-id="totp"]');
  return p.page.getByRole("dialog");
}

async function enterPassword(p: Person, user: string) {
  await p.go("/");
  await p.write("#login-user", user);
  await p.write("#login-password", password);
  await p.press("#login-submit");
}

describe.each(ways)("a second factor, %s, by %s", (language, hand) => {
  it("is turned on, asked for and turned off", async () => {
    const user = name(language, hand);
    const p = await (await hall.sits({ language, hand })).signIn(user);
    let dialog = await openDialog(p);
    await p.write("#totp-password", "not my password");
    await p.press(dialog.getByRole("button", { name: p.say("totp.begin") }));
    await dialog.getByText(p.say("code.password_wrong")).waitFor();
    await p.write("#totp-password", password);
    await p.press(dialog.getByRole("button", { name: p.say("totp.begin") }));
    const code = dialog.locator("svg[role=img]");
    await code.waitFor();
    const [uri] = readCode(await code.screenshot());
    const key = new URL(uri!);
    expect([key.protocol, key.host, key.searchParams.get("issuer")]).toEqual(["otpauth:", "totp", "Gridpost"]);
    const secret = key.searchParams.get("secret")!;
    expect(await dialog.getByLabel(p.say("totp.key")).inputValue()).toBe(secret);
    const first = codeAt(secret, Date.now());
    await p.write("#totp-code", first);
    await p.press(dialog.getByRole("button", { name: p.say("totp.turnOn") }));
    const recovery = (await dialog.getByLabel(p.say("totp.recovery")).inputValue()).split("\n");
    expect(new Set(recovery).size).toBe(10);
    await p.press(dialog.getByRole("button", { name: p.say("totp.kept") }));

    const again = await hall.sits({ language, hand });
    await enterPassword(again, user);
    for (const wrong of ["000000", first]) { // a code opens once
      await again.write("#login-code", wrong);
      await again.press("#login-submit");
      await again.page.locator("#login-error").waitFor();
      if (!(await again.page.locator("#login-code").isVisible())) await enterPassword(again, user);
    }
    await again.write("#login-code", recovery[0]!);
    await again.press("#login-submit");
    await again.page.waitForSelector("#link");
    dialog = await openDialog(again);
    await dialog.getByText(again.say("totp.left", { count: 9 })).waitFor();
    await again.write("#totp-password", password);
    await again.write("#totp-code", recovery[1]!);
    await again.press(dialog.getByRole("button", { name: again.say("totp.turnOff") }));
    await again.page.getByText(again.say("totp.offNow")).first().waitFor();
    await (await hall.sits({ language, hand })).signIn(user); // by the password alone
  });
});
