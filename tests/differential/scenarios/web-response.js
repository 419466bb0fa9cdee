import { outcome, outcomeName, scenario } from "./harness.js";

const told = (r) => ({
    status: r.status, statusText: r.statusText, ok: r.ok, headers: [...r.headers], bodyUsed: r.bodyUsed, hasBody: r.body !== null,
    redirected: r.redirected, url: r.url, type: r.type,
});

export default scenario({
    "nothing": () => told(new Response()),
    "text": async () => {
        const response = new Response("é");
        return [told(response), await response.text()];
    },
    "options": () => told(new Response("x", { status: 201, statusText: "Made", headers: { a: "b" } })),
    "JSON": async () => {
        const response = Response.json({ a: [1] }, { status: 202, headers: { x: "y" } });
        return [told(response), await response.json()];
    },
    "JSON with its own type": () => told(Response.json(1, { headers: { "content-type": "application/ld+json" } })),
    "JSON of what is none": () => outcomeName(() => Response.json(undefined)),
    "a redirect": () => told(Response.redirect("http://a/b")),
    "a redirect with a status": () => told(Response.redirect("http://a/b", 307)),
    "a redirect with a bad status": () => outcomeName(() => Response.redirect("http://a/b", 200).status),
    "a redirect to nowhere": () => outcomeName(() => Response.redirect("nowhere").status),
    "an error": () => outcomeName(() => [Response.error().type, Response.error().status]),
    "bad statuses": () => Promise.all([0, 99, 100, 199, 600, 1000, "x"].map((status) => outcomeName(() => new Response(null, { status }).status))),
    "a status without a body": () => Promise.all([204, 205, 304].map((status) => outcomeName(() => new Response("x", { status }).status))),
    "an empty text without a body": () => outcomeName(() => new Response("", { status: 204 }).status),
    "null without a body": () => told(new Response(null, { status: 204 })),
    "a clone": async () => {
        const response = new Response("x", { headers: { a: "1" } });
        const copy = response.clone();
        return [await response.text(), await copy.text(), copy.headers.get("a")];
    },
    "read twice": async () => {
        const response = new Response("x");
        await response.text();
        return [response.bodyUsed, await outcomeName(() => response.json())];
    },
    "read as all": async () => [
        await new Response("[1]").json(), [...new Uint8Array(await new Response("a").arrayBuffer())], [...(await new Response("b").bytes())],
        await (await new Response("c").blob()).text(), [...(await new Response(new URLSearchParams("a=1&b=2")).formData())],
    ],
    "bad JSON": () => outcomeName(() => new Response("{").json()),
    "no form": () => outcomeName(() => new Response("x").formData()),
    "of another": async () => {
        const response = new Response(new Response("x").body, new Response("y", { status: 203, headers: { a: "b" } }));
        return [told(response), await response.text()];
    },
    "headers can be changed": () => {
        const response = new Response("x");
        response.headers.set("a", "1");
        return response.headers.get("a");
    },
    "a stream": async () => {
        const response = new Response(new ReadableStream({
            start(controller) {
                controller.enqueue(new TextEncoder().encode("a"));
                controller.enqueue(new TextEncoder().encode("b"));
                controller.close();
            },
        }));
        return [told(response), await response.text()];
    },
    "a stream that fails": () => outcome(() => new Response(new ReadableStream({
        start(controller) {
            controller.error(new RangeError("broken"));
        },
    })).text()),
    "a body that is a number": async () => new Response(5).text(),
    "a body that is an object": async () => new Response({}).text(),
    "text with a mark": async () => new Response(new Uint8Array([0xef, 0xbb, 0xbf, 0x61])).text(),
    "text that is broken": async () => new Response(new Uint8Array([0x61, 0xff, 0x62])).text(),
    "what it is": () => [Object.prototype.toString.call(new Response()), Response.name],
});
