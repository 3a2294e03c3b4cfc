// People before the console: each a browser context of their own, all of whose requests and
// complaints are kept. A test of which anything went elsewhere, broke the policy or was not caught fails.
import { type Browser, type BrowserContext, chromium, type Locator, type Page } from "playwright-core";
import { type Hand, type HandName, hands, Keyboard, Pointer } from "./hand";
import { findBrowser } from "./programs";
import { password, until } from "./stage";
import { type Language, languages, type Say, speaker } from "./words";

/** Either language, with either hand. */
export const ways = languages.flatMap((language) => hands.map((hand) => [language, hand] as const));
/** Each language and each hand once, for what differs between hands and languages in its words and keys only. */
export const crossed = [["en", "pointer"], ["zh-CN", "keyboard"]] as const satisfies readonly (readonly [Language, HandName])[];

export interface Look {
  language?: Language;
  hand?: HandName; // whoever has a keyboard alone is found out when a pointer is used
  theme?: "dark" | "light";
  size?: { width: number; height: number };
  phone?: boolean;
}

/** Opens a browser; program: instead of the one that is found. */
export async function openBrowser(program = findBrowser(), host = "127.0.0.1"): Promise<Browser> {
  return chromium.launch({
    executablePath: program,
    headless: true,
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
      `--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE ${host}`, // whatever is asked outside gets no answer either
    ],
  });
}

/** Somebody before a screen. */
export class Person {
  /** what must be empty at the end */
  readonly outside: string[] = [];
  readonly complaints: string[] = [];
  requests = 0;
  loads = 0;

  private constructor(readonly context: BrowserContext, readonly page: Page, readonly say: Say, readonly language: Language, readonly hand: Hand, private readonly url: string) {}

  static async sits(browser: Browser, url: string, look: Look = {}): Promise<Person> {
    const language = look.language ?? "en";
    const context = await browser.newContext({
      locale: language,
      timezoneId: "Asia/Shanghai",
      viewport: look.size ?? { width: 1366, height: 768 },
      ...(look.phone && { hasTouch: true, isMobile: true, deviceScaleFactor: 2 }),
    });
    if (look.hand === "keyboard") await context.addInitScript(() => addEventListener("pointerdown", (e) => console.error(`a pointer was used: ${(e.target as Element).outerHTML.slice(0, 100)}`), true));
    await context.addInitScript(({ theme, language }) => {
      if (location.protocol === "about:") return; // a new tab, before it goes anywhere
      const kept = JSON.parse(localStorage.getItem("gridpost.prefs") ?? "{}") as Record<string, unknown>;
      if (!("theme" in kept)) localStorage.setItem("gridpost.prefs", JSON.stringify({ language, theme, ...kept }));
      addEventListener("securitypolicyviolation", (e) => console.error(`policy broken: ${e.effectiveDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber} ${e.sample}`));
      const Line = window.RTCPeerConnection;
      window.RTCPeerConnection = class extends Line {
        constructor(c?: RTCConfiguration) {
          super(c);
          for (const s of c?.iceServers ?? []) {
            if (!String(s.urls).startsWith(`turn:${location.hostname}:`)) console.error(`asks outside: ${JSON.stringify(s.urls)}`);
          }
        }
      };
    }, { theme: look.theme ?? "dark", language });
    context.setDefaultTimeout(20_000);
    const page = await context.newPage();
    const p = new Person(context, page, speaker(language), language, look.hand === "keyboard" ? new Keyboard(page) : new Pointer(), url);
    p.#watch();
    return p;
  }

  #watch(): void {
    const note = (address: string) => {
      this.requests += 1;
      if (!address.startsWith(`${this.url}/`) && !/^(data|blob):/.test(address)) this.outside.push(address);
    };
    this.context.on("request", (r) => {
      note(r.url());
      if (r.isNavigationRequest()) this.loads += 1;
    });
    this.page.on("websocket", (w) => note(w.url()));
    this.context.on("weberror", (e) => this.complaints.push(`not caught: ${e.error().stack ?? e.error().message}`));
    this.context.on("console", (m) => {
      // The browser says on its own account that the hub is gone or said No; the page has to cope with that.
      // A page by plain HTTP from another machine is no secure context, and some headers are for secure contexts only.
      if (m.type() === "error" && !/^(Failed to load resource|The Cross-Origin-Opener-Policy header has been ignored)/.test(m.text())) this.complaints.push(m.text());
      if (m.type() === "warning" && /svelte|hydrat|deprecat/i.test(m.text())) this.complaints.push(m.text());
    });
    this.page.on("crash", () => this.complaints.push("the page crashed"));
  }

  /** Fails if anything went elsewhere or went wrong; and if nothing was noticed at all. */
  check(): void {
    if (this.requests < 3) throw new Error(`only ${this.requests} requests were noticed: the record does not work`);
    if (this.outside.length) throw new Error(`asked outside: ${this.outside.join("\n")}`);
    if (this.complaints.length) throw new Error(`complaints:\n${this.complaints.join("\n")}`);
  }

  async go(path: string): Promise<void> {
    this.hand.anew();
    await this.page.goto(this.url + path, { waitUntil: "load" });
  }

  /** Follows an address within the console, without loading the page. */
  async follow(path: string): Promise<void> {
    await this.page.evaluate((to) => {
      const a = document.createElement("a");
      a.href = to;
      document.body.append(a);
      a.click();
      a.remove();
    }, path);
  }

  press(what: string | Locator): Promise<void> { return this.hand.press(typeof what === "string" ? this.page.locator(what) : what); }
  write(field: string | Locator, text: string): Promise<void> { return this.hand.write(typeof field === "string" ? this.page.locator(field) : field, text); }

  async signIn(name: string, path = "/"): Promise<this> {
    await this.go(path);
    await this.write("#login-user", name);
    await this.write("#login-password", password);
    await this.press("#login-submit");
    await this.page.waitForSelector("#link");
    if (this.hand instanceof Pointer) await this.page.mouse.move(1, 1); // lists hold still under a pointer
    await this.live();
    return this;
  }

  /** Waits until the link to the hub stands. */
  async live(limit = 20_000): Promise<void> {
    await this.page.waitForSelector("#link[data-state=live]", { timeout: limit });
  }

  /** Everything that was said to readers of screens since listen(). */
  async listen(): Promise<void> {
    await this.page.evaluate(() => {
      const w = window as unknown as { said: string[] };
      w.said = [];
      const observer = new MutationObserver(() => {
        for (const region of document.querySelectorAll("[aria-live]")) if (region.textContent?.trim()) w.said.push(region.textContent.trim());
      });
      for (const region of document.querySelectorAll("[aria-live]")) observer.observe(region, { childList: true, characterData: true, subtree: true });
    });
  }
  said(): Promise<string[]> { return this.page.evaluate(() => (window as unknown as { said: string[] }).said); }
  hears(words: string | RegExp, limit?: number): Promise<string> {
    return until(`hearing ${words}`, async () => (await this.said()).find((s) => (typeof words === "string" ? s.includes(words) : words.test(s))), limit);
  }

  row(incident: string) { return this.page.locator(`#incidents .incident[data-id="${incident}"]`); }

  async leaves(): Promise<void> { await this.context.close(); }
}
