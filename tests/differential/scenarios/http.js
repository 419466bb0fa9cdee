import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";

//> GET /
//> GET /a/b%20c/%C3%A9?q=1&q=2&empty=
//> POST /echo content-type: text/plain; x-mine: seen | the body
//> PUT /echo content-type: application/json | {"a":[1]}
//> DELETE /echo
//> PATCH /echo | x
//> OPTIONS /echo
//> GET /json
//> GET /cookies
//> GET /redirect
//> GET /status/418
//> GET /status/204
//> GET /stream
//> GET /missing
//> GET /object/count
//> GET /object/count
//> POST /object/echo?x=1 x-mine: to the object | for the object
//> GET /object/cookies
//> GET /object/status
//> GET /object/large
//> POST /form content-type: application/x-www-form-urlencoded | a=1&b=%20x
//> GET /html
//> GET /own-type
//> GET /this

export class Site extends DurableObject {
    async fetch(request) {
        const url = new URL(request.url);
        if (url.pathname === "/object/count") {
            const count = ((await this.ctx.storage.get("count")) ?? 0) + 1;
            await this.ctx.storage.put("count", count);
            return Response.json({ count });
        }
        if (url.pathname === "/object/cookies") {
            return new Response("cookies", { headers: [["set-cookie", "a=1; HttpOnly"], ["set-cookie", "b=2"], ["x-seen", "yes"]] });
        }
        if (url.pathname === "/object/status") {
            return new Response("made", { status: 201, headers: { location: "/there" } });
        }
        if (url.pathname === "/object/large") {
            return new Response("x".repeat(400000));
        }
        return Response.json({
            method: request.method, path: url.pathname + url.search, mine: request.headers.get("x-mine"), body: await request.text(),
        });
    }
}

export default class extends WorkerEntrypoint {
    async fetch(request) {
        const url = new URL(request.url);
        if (url.pathname.startsWith("/object/")) {
            return this.env.Site.getByName("site").fetch(request);
        }
        switch (url.pathname) {
        case "/":
            return new Response("home");
        case "/echo":
            return Response.json({
                method: request.method, body: await request.text(), mine: request.headers.get("x-mine"), type: request.headers.get("content-type"),
            }, { headers: { "x-seen": "echo" } });
        case "/json":
            return Response.json({ a: [1, null], greeting: this.env.GREETING });
        case "/cookies":
            return new Response("cookies", { headers: [["Set-Cookie", "a=1; Path=/"], ["Set-Cookie", "b=2; Secure"]] });
        case "/redirect":
            return Response.redirect("http://elsewhere.example/x", 301);
        case "/stream":
            return new Response(new Blob(["one ", "two ", "three"]).stream());
        case "/form":
            return Response.json([...(await request.formData())]);
        case "/html":
            return new Response("<p>é</p>", { headers: { "content-type": "text/html; charset=utf-8", "cache-control": "no-store" } });
        case "/own-type":
            return new Response(new Uint8Array([104, 105]));
        case "/this":
            return Response.json([typeof this.ctx.waitUntil, this instanceof WorkerEntrypoint]);
        }
        if (url.pathname.startsWith("/status/")) {
            const status = Number(url.pathname.slice("/status/".length));
            return new Response(status === 204 ? null : `status ${status}`, { status });
        }
        return new Response(`${url.pathname}${url.search} ${url.searchParams.getAll("q")}`, { status: 404 });
    }
}
