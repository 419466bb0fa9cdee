/* A store of keys by HTTP, with one object for each. */
import { DurableObject } from "cloudflare:workers";
import { fresh, scenario } from "./harness.js";

export class KeyValue extends DurableObject {
    async fetch(request) {
        const url = new URL(request.url);
        const key = url.pathname.slice(1);
        switch (request.method) {
        case "GET": {
            if (key === "") {
                const prefix = url.searchParams.get("prefix") ?? undefined;
                return Response.json([...(await this.ctx.storage.list({ prefix, limit: 10 })).keys()]);
            }
            const value = await this.ctx.storage.get(key);
            return value === undefined ? new Response("Not Found", { status: 404 }) : new Response(value.bytes, { headers: value.headers });
        }
        case "PUT":
            await this.ctx.storage.put(key, {
                bytes: new Uint8Array(await request.arrayBuffer()), headers: { "content-type": request.headers.get("content-type") ?? "text/plain" },
            });
            return new Response(null, { status: 204 });
        case "DELETE":
            return Response.json({ deleted: await this.ctx.storage.delete(key) });
        default:
            return new Response("Method Not Allowed", { status: 405, headers: { allow: "GET, PUT, DELETE" } });
        }
    }
}

export default scenario({
    async "a life of keys"(env) {
        const store = fresh(env.KeyValue);
        const seen = [];
        for (const [method, path, body] of [
            ["GET", "/a"], ["PUT", "/a", "one"], ["GET", "/a"], ["PUT", "/a", "two"], ["GET", "/a"], ["PUT", "/b/c", "x"], ["PUT", "/b/d", "y"],
            ["GET", "/"], ["GET", "/?prefix=b/"], ["DELETE", "/a"], ["DELETE", "/a"], ["GET", "/a"], ["POST", "/a", "x"],
        ]) {
            const response = await store.fetch(`http://store${path}`, { method, body });
            seen.push([method, path, response.status, response.headers.get("content-type"), response.headers.get("allow"), await response.text()]);
        }
        return seen;
    },
});
