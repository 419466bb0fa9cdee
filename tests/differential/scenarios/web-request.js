import { outcomeName, scenario } from "./harness.js";

const told = (r) => ({
    method: r.method, url: r.url, headers: [...r.headers], bodyUsed: r.bodyUsed, hasBody: r.body !== null, redirect: r.redirect,
});

export default scenario({
    "an address": () => told(new Request("http://host/path?q#f")),
    "an address that is tidied": () => told(new Request("HTTP://Host:80/a/../b")),
    "a URL": () => told(new Request(new URL("http://host/a"))),
    "a method": () => ["get", "Post", "delete", "PATCH"].map((method) => new Request("http://a/", { method }).method),
    "a method that HTTP does not name": () => outcomeName(() => new Request("http://a/", { method: "FOO" }).method),
    "a body": async () => {
        const request = new Request("http://a/", { method: "POST", body: "x" });
        return [told(request), await request.text(), request.bodyUsed];
    },
    "a body of GET": () => outcomeName(() => new Request("http://a/", { body: "x" }).method),
    "of another request": async () => {
        const first = new Request("http://a/", { method: "POST", body: "x", headers: { a: "1" } });
        const second = new Request(first, { headers: { b: "2" } });
        return [told(second), first.bodyUsed, await second.text()];
    },
    "a clone": async () => {
        const request = new Request("http://a/", { method: "POST", body: "x" });
        const copy = request.clone();
        return [await request.text(), await copy.text()];
    },
    "a clone of what was read": () => outcomeName(async () => {
        const request = new Request("http://a/", { method: "POST", body: "x" });
        await request.text();
        request.clone();
        return "cloned";
    }),
    "read twice": async () => {
        const request = new Request("http://a/", { method: "POST", body: "x" });
        await request.text();
        return outcomeName(() => request.text());
    },
    "a relative address": () => outcomeName(() => new Request("/a").url),
    "no address": () => outcomeName(() => new Request().url),
    "a redirect mode": async () => [new Request("http://a/", { redirect: "manual" }).redirect,
        await outcomeName(() => new Request("http://a/", { redirect: "other" }).redirect)],
    "a signal": () => {
        const controller = new AbortController();
        const request = new Request("http://a/", { signal: controller.signal });
        const before = request.signal.aborted;
        controller.abort();
        return [before, request.signal.aborted];
    },
    "types of bodies": async () => Promise.all([
        "text", new Uint8Array([97]), new Blob(["b"], { type: "text/x" }), new URLSearchParams("a=b"), new Uint8Array([99]).buffer,
    ].map(async (body) => {
        const request = new Request("http://a/", { method: "POST", body });
        return [request.headers.get("content-type"), await request.text()];
    })),
    "cf": () => new Request("http://a/").cf === undefined,
    "what it is": () => [Object.prototype.toString.call(new Request("http://a/")), Request.name, typeof Request.prototype.clone],
});
