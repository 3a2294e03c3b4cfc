import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { api, ApiError, path, withQuery } from "../api/client";
import { session } from "./session.svelte";

let answer: () => Response | Promise<Response>;
let asked: { method: string; path: string; body: unknown }[] = [];

beforeEach(() => {
  asked = [];
  vi.stubGlobal("fetch", (url: string, init: RequestInit) => {
    asked.push({ method: init.method!, path: url, body: init.body });
    return Promise.resolve().then(() => answer());
  });
});
afterEach(() => void vi.unstubAllGlobals());

const json = (body: unknown, status = 200, headers: Record<string, string> = {}) => new Response(JSON.stringify(body), { status, headers });
const kim = { user: "kim", role: "dispatcher", expires_at: "2026-05-03T18:00:00Z" };

describe("session", () => {
  it("is out without a word when nobody has been in", async () => {
    answer = () => json({ title: "Unauthorized" }, 401);
    await session.restore();
    expect(session.status).toBe("out");
    expect(session.ended).toBe(false);
  });

  it("is in after signing in, with what the role may do", async () => {
    answer = () => json(kim, 201);
    await session.signIn("kim", "secret");
    expect(session.status).toBe("in");
    expect([session.may("monitor"), session.may("dispatcher"), session.may("administrator")]).toEqual([true, true, false]);
    expect(session.expires?.getTime()).toBe(Date.parse(kim.expires_at));
    expect(JSON.parse(String(asked[0]!.body))).toEqual({ user: "kim", password: "secret" });
  });

  it("says that it was ended when any answer is 401", async () => {
    answer = () => json(kim);
    await session.restore();
    answer = () => json({}, 401);
    await expect(api.get("/api/v1/roster")).rejects.toBeInstanceOf(ApiError);
    await session.restore();
    expect([session.status, session.ended, session.user]).toEqual(["out", true, ""]);
  });

  it("is not ended by a wrong password, and keeps what it was", async () => {
    answer = () => json({ title: "Unauthorized" }, 401);
    await expect(session.signIn("kim", "wrong")).rejects.toMatchObject({ status: 401 });
    expect(session.ended).toBe(true);
  });

  it("is out after signing out, without a word, also when it was over already", async () => {
    answer = () => json(kim);
    await session.restore();
    answer = () => json({}, 401);
    await session.signOut();
    expect([session.status, session.ended]).toEqual(["out", false]);
  });

  it("stays in when the hub could not be told to end it", async () => {
    answer = () => json(kim);
    await session.restore();
    answer = () => Promise.reject(new TypeError("no"));
    await expect(session.signOut()).rejects.toMatchObject({ status: 0 });
    expect(session.status).toBe("in");
  });
});

describe("the client", () => {
  it("turns problems into errors with what they say", async () => {
    answer = () => json({ title: "Unprocessable Entity", detail: "name may have 40 characters at most", code: "input_too_long", params: { field: "name", count: "40" } }, 422);
    await expect(api.post("/api/v1/users", {})).rejects.toMatchObject({
      status: 422, detail: "name may have 40 characters at most", reason: { code: "input_too_long", params: { field: "name", count: "40" } },
    });
    answer = () => new Response("<html>", { status: 502, headers: { "Retry-After": "7" } });
    await expect(api.get("/x")).rejects.toMatchObject({ status: 502, retryAfter: 7 });
  });
  it("gives up what its caller gives up, as that", async () => {
    const given = new AbortController();
    answer = () => Promise.reject(new DOMException("", "AbortError"));
    given.abort();
    await expect(api.get("/x", { signal: given.signal })).rejects.toMatchObject({ name: "AbortError" });
  });
  it("reads answers without a body", async () => {
    answer = () => new Response(null, { status: 204 });
    expect(await api.delete("/api/v1/tokens/1")).toBeUndefined();
  });
  it("escapes paths and leaves empty values out of queries", () => {
    expect(path`/api/v1/devices/${"a/b"}/${"c d"}/readings`).toBe("/api/v1/devices/a%2Fb/c%20d/readings");
    expect(withQuery("/x", { a: "", b: null, c: undefined, d: 0, e: new Date(0), f: "1,2" })).toBe("/x?d=0&e=1970-01-01T00%3A00%3A00.000Z&f=1%2C2");
  });
});
