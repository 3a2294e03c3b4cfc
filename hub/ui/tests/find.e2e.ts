// Finding incidents among closed ones: filters and searches that the hub answers page by page, orders, filters
// that are kept, the file of a list, and an incident on paper.
import { readFile } from "node:fs/promises";
import { beforeAll, describe, expect, it } from "vitest";
import { faults } from "./support/axe";
import { Keyboard } from "./support/hand";
import { type Person, crossed } from "./support/people";
import { room } from "./support/room";
import { type Told, until } from "./support/stage";

const minute = 60_000;
const iso = (at: number) => new Date(at).toISOString();
const zone = (rule: string, severity = "moderate") => ({ name: rule, kind: "zone", severity });
const many = 230; // closed incidents of a device: three pages
const pageSize = 100;

const hall = room({}, async (stage) => {
  for (const name of ["li.wei", "anna"]) await stage.user(name, "dispatcher");
  await stage.user("guest", "monitor");
  await stage.edge({ name: "gate", devices: [{ name: "yard", kind: "camera", place: { lat: 30.92, lon: 120.93 }, rules: [zone("yard"), zone("fence")] }, { name: "door", kind: "camera", rules: [zone("door")] }] });
  await stage.edge({ name: "harbour", devices: [{ name: "quay", kind: "camera", rules: [zone("quay")] }] });
});

/** Incidents by what they are, by ID. */
const made: Record<string, string> = {};

beforeAll(async () => {
  const [li, anna] = [await hall.stage.as("li.wei"), await hall.stage.as("anna")];
  const now = Date.now();
  const add = async (name: string, edge: string, i: Omit<Told, "kind">, ago: number): Promise<string> =>
    (made[name] = await hall.stage.tell(edge, { kind: "zone", class: "person", opened_at: iso(now - ago), ...i }));
  for (let n = 0; n < many; n += 1) {
    const id = await add(`many${n}`, "gate", { device: "yard", rule: "yard", severity: "minor" }, 10 * minute + n * 1000);
    await anna(`/incidents/${id}/close`, { body: { outcome: "dealt_with" } });
  }
  await add("mine", "gate", { device: "door", rule: "door", severity: "extreme" }, 5 * minute);
  await li(`/incidents/${made["mine"]}/assign`, { body: { assignee: "li.wei" } });
  await li(`/incidents/${made["mine"]}/notes`, { body: { text: "A fox by the hydrangeas. 绣球花旁有狐狸。" } });
  await li(`/incidents/${made["mine"]}/close`, { body: { outcome: "false_alarm", text: "Only a fox." } });
  await add("quay", "harbour", { device: "quay", rule: "quay", severity: "severe" }, 4 * minute);
  await anna(`/incidents/${made["quay"]}/close`, { body: { outcome: "handed_on" } });
  await add("open", "gate", { device: "yard", rule: "fence", severity: "severe" }, 3 * minute);
  await add("openToo", "harbour", { device: "quay", rule: "quay", severity: "extreme" }, 2 * minute);
}, 180_000);

/** Chooses in a list of choices: with a pointer at once, by keys along the choices. */
async function choose(p: Person, filter: string, value: string): Promise<void> {
  const select = p.page.locator(`select[data-filter="${filter}"]`);
  await select.waitFor();
  if (!(p.hand instanceof Keyboard)) {
    await select.selectOption(value);
    return;
  }
  await p.hand.reach(select);
  await p.page.keyboard.press("Home");
  for (let n = 0; n < 40 && (await select.inputValue()) !== value; n += 1) await p.page.keyboard.press("ArrowDown");
  expect(await select.inputValue()).toBe(value);
}

const shown = (p: Person) => p.page.locator("#incidents .incident").evaluateAll((rows) => rows.map((r) => (r as HTMLElement).dataset["id"]!));
const shows = (p: Person, names: string[]) => until(`the list to be ${names.join(", ")}`, async () => {
  const ids = await shown(p);
  return ids.length === names.length && names.every((name, n) => ids[n] === made[name]) ? true : undefined;
});
/** What the page has asked of closed incidents since. */
function closedRequests(p: Person): URLSearchParams[] {
  const all: URLSearchParams[] = [];
  p.page.on("request", (r) => {
    const url = new URL(r.url());
    if (url.pathname === "/api/v1/incidents" && url.searchParams.get("state") === "closed") all.push(url.searchParams);
  });
  return all;
}
const count = async (p: Person) => Number((await p.page.textContent("header .note"))!.replace(/\D/g, ""));

describe.each(crossed)("%s, by %s", (language, hand) => {
  const enter = async (path: string, who = "li.wei") => (await hall.sits({ language, hand })).signIn(who, path);

  it("fetches closed ones page by page, and only those of the filter", async () => {
    const p = await hall.sits({ language, hand });
    const asked = closedRequests(p);
    await p.signIn("li.wei", "/incidents?apart=1"); // each in a row of its own
    await shows(p, ["openToo", "open"]);
    expect(asked).toEqual([]); // what is closed is not fetched unasked
    // The hub's own totals say how many there are.
    await until("the count", async () => (await p.page.locator('.chip[data-state="closed"] .count').textContent()) === String(many + 2));
    await p.press(p.page.locator('.chip[data-state="closed"]'));
    await until("the first page", async () => (await count(p)) === pageSize);
    expect(asked.length).toBe(1);
    expect(asked[0]!.get("limit")).toBe(String(pageSize));
    await p.page.locator("#incidents .title").first().focus();
    await until("all of them", async () => {
      await p.page.keyboard.press("End");
      return (await count(p)) === many + 2;
    });
    expect(asked.length).toBe(3);
    // Another filter is another list; nothing of the one before is fetched.
    await choose(p, "site", "harbour");
    await shows(p, ["quay"]);
    if (hand === "pointer") expect(asked.length).toBe(4); // keys pass other sites on the way
    expect(asked.at(-1)!.get("edge")).toBe("harbour");
  });

  it("shows repeats as one row with the hub's count, and its incidents page by page when it is opened", async () => {
    const p = await hall.sits({ language, hand });
    const asked = closedRequests(p);
    await p.signIn("li.wei", "/incidents?state=closed");
    const noisy = p.row(made["many0"]!);
    await noisy.waitFor();
    await shows(p, ["quay", "mine", "many0"]);
    expect(await noisy.locator(".group").textContent()).toContain(p.say("group.times", { count: many }));
    expect(await count(p)).toBe(many + 2);
    expect(asked.length).toBeLessThanOrEqual(2);
    expect(asked.every((q) => q.get("grouped") === "true")).toBe(true);

    await p.hand.take(noisy);
    await p.press(noisy.locator(".group"));
    const rows = () => p.page.locator("#incidents .incident").first().getAttribute("aria-setsize");
    await until("the first page of the group", async () => (await rows()) === String(pageSize + 2));
    const members = asked.filter((q) => q.has("group"));
    expect(members.map((q) => q.get("limit"))).toEqual([String(pageSize)]);
    await p.page.locator("#incidents .title").first().focus();
    await until("all of the group", async () => {
      await p.page.keyboard.press("End");
      return (await rows()) === String(many + 2);
    });
    expect(asked.filter((q) => q.has("group")).length).toBe(3);
    expect(await count(p)).toBe(many + 2);

    // What is opened again leaves the group at once, and comes back when it is closed.
    const anna = await hall.stage.as("anna");
    await anna(`/incidents/${made["many7"]}/reopen`, { method: "POST" });
    await until("one less", async () => (await count(p)) === many + 1);
    await p.page.keyboard.press("Home");
    await p.hand.take(noisy);
    await p.press(noisy.locator(".group"));
    await until("one row again", async () => (await rows()) === "3");
    expect(await noisy.locator(".group").textContent()).toContain(p.say("group.times", { count: many - 1 }));
    await anna(`/incidents/${made["many7"]}/close`, { body: { outcome: "dealt_with" } });
    await until("all of them", async () => (await count(p)) === many + 2);
    expect(await noisy.locator(".group").textContent()).toContain(p.say("group.times", { count: many }));
  });

  it("finds by time, device, assignee, outcome and words that were written", async () => {
    const p = await enter("/incidents?state=closed&apart=1");
    await p.press(p.page.locator(".filters button.more"));
    await choose(p, "outcome", "handed_on");
    await shows(p, ["quay"]);
    await choose(p, "outcome", "");
    await p.page.locator("h1").focus();
    await p.page.keyboard.press("Shift+S"); // mine
    await shows(p, ["mine"]);
    expect(new URL(p.page.url()).searchParams.get("assignee")).toBe("~me");
    await p.page.keyboard.press("Shift+S");
    await choose(p, "site", "gate");
    await choose(p, "device", "door");
    await shows(p, ["mine"]);
    await p.page.locator("h1").focus();
    await p.page.keyboard.press("Shift+X");
    await choose(p, "since", "yesterday");
    await p.page.getByText(p.say("incidents.noMatch")).waitFor();
    await choose(p, "since", "range");
    const at = await p.page.evaluate((ms) => {
      const d = new Date(ms - new Date(ms).getTimezoneOffset() * 60_000);
      return d.toISOString().slice(0, 16);
    }, Date.now() - 20 * 60 * minute);
    await p.page.locator('input[type="datetime-local"]').nth(1).fill(at); // until twenty hours ago
    await p.page.getByText(p.say("incidents.noMatch")).waitFor();
    await p.page.locator('input[type="datetime-local"]').nth(1).fill("");
    await p.page.locator('input[type="datetime-local"]').first().fill(at);
    // They are few rows, so that the end of the list stays in sight: the hub is not asked for all of them unasked.
    const more = p.page.getByRole("button", { name: p.say("incidents.closedMore.do") });
    await more.waitFor();
    expect(await count(p)).toBe(2 * pageSize);
    await p.press(more);
    await until("all since then", async () => (await count(p)) === many + 2);
    expect(await more.count()).toBe(0);
    await p.page.locator("h1").focus();
    await p.page.keyboard.press("Shift+X");
    // Words of a note: the console does not have them, the hub does.
    await p.write("#incidents-search", language === "en" ? "hydrangeas" : "绣球花");
    await shows(p, ["mine"]);
    await p.write("#incidents-search", "nothing is called so");
    await p.page.getByText(p.say("incidents.noMatch")).waitFor();
  });

  it("sorts by a column, what is closed below what is not", async () => {
    const p = await enter("/incidents?state=all&apart=1&severity=severe,extreme");
    await shows(p, ["openToo", "open", "quay", "mine"]);
    const head = (column: string) => p.page.locator(`button[data-sort="${column}"]`);
    await p.press(head("severity")); // the worst first
    await shows(p, ["openToo", "open", "mine", "quay"]);
    expect(await head("severity").getAttribute("aria-label")).toContain(p.say("find.sort.falling"));
    await p.press(head("severity"));
    await shows(p, ["open", "openToo", "quay", "mine"]);
    await p.press(head("device"));
    await shows(p, ["open", "openToo", "mine", "quay"]);
    await p.press(head("device"));
    await shows(p, ["openToo", "open", "quay", "mine"]);
    await p.press(head("device")); // and as it was
    expect(new URL(p.page.url()).searchParams.get("sort")).toBeNull();
    await shows(p, ["openToo", "open", "quay", "mine"]);
  });

  it("keeps filters under a name, and lets them go", async () => {
    const p = await enter("/incidents?state=closed&apart=1&site=harbour");
    await shows(p, ["quay"]);
    await p.page.keyboard.press("b");
    await p.write("#filter-name", "Quay 码头");
    await p.press("#filter-save");
    const row = p.page.locator('#saved-filters li[data-name="Quay 码头"]');
    await row.waitFor();
    await p.page.keyboard.press("Escape");
    await p.follow("/incidents");
    await shows(p, ["openToo", "open"]);
    await p.page.locator("h1").focus();
    await p.page.keyboard.press("b");
    await p.press(row.locator(".apply"));
    await shows(p, ["quay"]);
    expect(new URL(p.page.url()).searchParams.get("site")).toBe("harbour");
    await p.page.locator("h1").focus();
    await p.page.keyboard.press("b");
    await p.press(row.locator("button").nth(1));
    await p.write("#saved-filters .renamed", "Harbour");
    await p.page.keyboard.press("Enter");
    const renamed = p.page.locator('#saved-filters li[data-name="Harbour"]');
    await renamed.waitFor();
    expect(await row.count()).toBe(0);
    await p.press(renamed.locator("button").nth(2));
    await p.page.getByText(p.say("find.saved.none")).waitFor();
  });

  it("exports the list as a file", async () => {
    const p = await enter("/incidents?state=closed&severity=severe,extreme");
    await p.page.waitForSelector("#export");
    const file = p.page.waitForEvent("download");
    if (hand === "keyboard") await p.page.keyboard.press("e");
    else await p.press("#export");
    const text = await readFile((await (await file).path())!, "utf8");
    expect(text.startsWith("\ufeffid,")).toBe(true);
    const rows = text.trim().split("\r\n").slice(1);
    expect(rows.map((r) => r.split(",")[0])).toEqual([made["quay"], made["mine"]]);
    expect(rows[1]).toContain("+08:00"); // the reader's zone
    expect(rows[1]).toContain("false_alarm");
    const { audit } = await hall.stage.api<{ audit: { who: string; action: string; detail: string }[] }>("/audit?limit=5");
    expect(audit.find((e) => e.action === "incident export")).toMatchObject({ who: "li.wei", detail: "state=closed severity=severe,extreme" });
  });

  it("puts an incident on paper, black on white", async () => {
    const p = await enter(`/incidents/${made["mine"]}`);
    await p.page.waitForSelector("#print-view");
    if (hand === "keyboard") await p.page.keyboard.press("p");
    else await p.press("#print-view");
    await p.page.waitForSelector("#sheet");
    const sheet = (await p.page.textContent("#sheet"))!;
    for (const words of [made["mine"]!, "A fox by the hydrangeas. 绣球花旁有狐狸。", "Only a fox.", p.say("outcome.false_alarm"), p.say("severity.extreme"), "li.wei", "GMT+8"]) expect(sheet).toContain(words);
    await p.page.emulateMedia({ media: "print" });
    expect(await p.page.locator("nav").first().isVisible()).toBe(false);
    expect(await p.page.locator("#print").isVisible()).toBe(false);
    const colours = await p.page.evaluate(() => {
      const of = (e: Element) => getComputedStyle(e);
      const dark = [...document.querySelectorAll("#sheet *")].filter((e) => e.textContent?.trim()).map((e) => of(e).color.match(/\d+/g)!.slice(0, 3).map(Number));
      return { ground: of(document.querySelector("#sheet")!).backgroundColor, body: of(document.body).backgroundColor, brightest: Math.max(...dark.flat()) };
    });
    expect(colours).toMatchObject({ ground: "rgb(255, 255, 255)", body: "rgb(255, 255, 255)" });
    expect(colours.brightest).toBeLessThan(0x60);
    const pdf = await p.page.pdf({ preferCSSPageSize: true });
    expect(pdf.subarray(0, 5).toString()).toBe("%PDF-");
    expect(pdf.toString("latin1").match(/\/Type \/Page\b/g)!.length).toBe(1);
    await p.page.emulateMedia({ media: null });
    // The key asks the browser for its print dialog.
    await p.page.evaluate(() => { window.print = () => document.body.setAttribute("data-printed", ""); });
    if (hand === "keyboard") await p.page.keyboard.press("p");
    else await p.press("#print");
    await p.page.waitForSelector("body[data-printed]");
    await p.page.keyboard.press("Escape");
    await p.page.waitForSelector("#incident-detail");
  });
});

describe.each(["dark", "light"] as const)("axe, %s", (theme) => {
  it("finds nothing in the filters, in what is saved and on paper", async () => {
    const p = await (await hall.sits({ theme })).signIn("li.wei", "/incidents?state=all&apart=1&since=range&site=gate&sort=severity");
    await p.page.locator("#incidents .incident").first().waitFor();
    expect(await faults(p)).toEqual([]);
    await p.page.keyboard.press("b");
    await p.write("#filter-name", "All of the gate");
    await p.press("#filter-save");
    await p.page.locator("#saved-filters .apply").waitFor();
    expect(await faults(p)).toEqual([]);
    await p.page.keyboard.press("Escape");
    await p.follow(`/incidents/${made["mine"]}/print`);
    await p.page.waitForSelector("#sheet");
    expect(await faults(p)).toEqual([]);
  });
});

describe("a monitor", () => {
  it("may find, and not export", async () => {
    const p = await (await hall.sits()).signIn("guest", "/incidents?state=closed&apart=1&site=harbour");
    await shows(p, ["quay"]);
    expect(await p.page.locator("#export").count()).toBe(0);
  });
});
