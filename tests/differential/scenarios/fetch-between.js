import { DurableObject } from "cloudflare:workers";
import { fresh, outcome, outcomeName, scenario } from "./harness.js";

export class Server extends DurableObject {
    async fetch(request) {
        const url = new URL(request.url);
        switch (url.pathname) {
        case "/echo":
            return Response.json({
                method: request.method, url: request.url, body: await request.text(),
                type: request.headers.get("content-type"), mine: request.headers.get("x-mine"),
            });
        case "/cookies": {
            const headers = new Headers();
            headers.append("Set-Cookie", "a=1; Path=/");
            headers.append("Set-Cookie", "b=2, c");
            return new Response("cookies", { headers });
        }
        case "/redirect":
            return new Response(null, { status: 302, headers: { location: "/echo" } });
        case "/status":
            return new Response("teapot", { status: 418, statusText: "I am a teapot" });
        case "/empty":
            return new Response(null, { status: 204 });
        case "/stream": {
            const { readable, writable } = new TransformStream();
            const writer = writable.getWriter();
            (async () => {
                for (const part of ["one ", "two ", "three"]) {
                    await writer.write(new TextEncoder().encode(part));
                }
                await writer.close();
            })();
            return new Response(readable, { headers: { "content-type": "text/plain" } });
        }
        case "/bytes":
            return new Response(new Uint8Array([0, 255, 1]));
        case "/large":
            return new Response(new Uint8Array(300000).fill(7));
        case "/form":
            return Response.json([...(await request.formData())]);
        case "/throws":
            throw new RangeError("in fetch");
        case "/nothing":
            return undefined;
        case "/used":
            return new Response(String(request.bodyUsed) + String(request.body === null));
        case "/clone": {
            const copy = request.clone();
            return Response.json([await request.text(), await copy.text()]);
        }
        case "/json":
            return Response.json(await request.json());
        }
        return new Response("not found", { status: 404 });
    }
}

export class NoFetch extends DurableObject {
    hello() {
        return "hello";
    }
}

async function told(response) {
    return [response.status, response.ok, response.headers.get("content-type"), await response.text()];
}

const get = (env, path, init) => fresh(env.Server).fetch(`http://server${path}`, init);

export default scenario({
    "a GET": async (env) => (await get(env, "/echo?q=1#hash")).json(),
    "a POST": async (env) => (await get(env, "/echo", { method: "POST", body: "text", headers: { "X-Mine": "yes" } })).json(),
    "a Request": async (env) => (await fresh(env.Server).fetch(new Request("https://host/echo", { method: "PUT", body: "b" }))).json(),
    "a Request with other members": async (env) => (await fresh(env.Server).fetch(new Request("http://host/echo"), { method: "DELETE" })).json(),
    "bytes": async (env) => (await get(env, "/echo", { method: "POST", body: new Uint8Array([104, 105]) })).json(),
    "parameters": async (env) => (await get(env, "/echo", { method: "POST", body: new URLSearchParams({ a: "1 2" }) })).json(),
    "JSON": async (env) => (await get(env, "/json", { method: "POST", body: JSON.stringify({ a: [1] }) })).json(),
    "a form": async (env) => {
        const form = new FormData();
        form.append("a", "1");
        form.append("a", "2");
        return (await get(env, "/form", { method: "POST", body: form })).json();
    },
    "a stream as a body": async (env) => (await get(env, "/echo", { method: "POST", body: new Blob(["streamed"]).stream() })).json(),
    "several cookies": async (env) => {
        const response = await get(env, "/cookies");
        return [response.headers.getSetCookie(), response.headers.get("set-cookie"), [...response.headers].filter(([name]) => name === "set-cookie")];
    },
    "a redirect is not followed": async (env) => {
        const response = await get(env, "/redirect", { redirect: "manual" });
        return [response.status, response.headers.get("location"), response.redirected];
    },
    "a status": async (env) => told(await get(env, "/status")),
    "no body": async (env) => {
        const response = await get(env, "/empty");
        return [response.status, response.body === null, await response.text()];
    },
    "a stream": async (env) => told(await get(env, "/stream")),
    "binary": async (env) => [...new Uint8Array(await (await get(env, "/bytes")).arrayBuffer())],
    "a large body": async (env) => (await (await get(env, "/large")).arrayBuffer()).byteLength,
    "an exception": (env) => outcome(async () => told(await get(env, "/throws"))),
    "no response": (env) => outcomeName(async () => told(await get(env, "/nothing"))),
    "no fetch()": (env) => outcomeName(async () => told(await fresh(env.NoFetch).fetch("http://x/"))),
    "nobody's body": async (env) => (await get(env, "/used")).text(),
    "a clone": async (env) => (await get(env, "/clone", { method: "POST", body: "twice" })).json(),
    "an unknown path": async (env) => told(await get(env, "/other")),
    "a relative address": (env) => outcomeName(() => fresh(env.Server).fetch("/echo")),
    "the response's address": async (env) => (await get(env, "/echo")).url,
    "an aborted fetch": (env) => outcomeName(() => get(env, "/echo", { signal: AbortSignal.abort() })),
    "the head": async (env) => {
        const response = await get(env, "/status", { method: "HEAD" });
        return [response.status, await response.text()];
    },
});
