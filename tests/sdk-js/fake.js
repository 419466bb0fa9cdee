// A server that answers as it is told: for what a real node answers seldom, or not yet.
import { createServer } from "node:http";
import { after } from "node:test";

const servers = [];
after(() => {
    for (const server of servers) {
        server.closeAllConnections();
        server.close();
    }
});

/** `answer(request, response, body, n)` is asked for each request, n counting from 0; what came is in `requests`. */
export async function fake(answer) {
    const requests = [];
    const server = createServer(async (request, response) => {
        const parts = [];
        for await (const part of request) {
            parts.push(part);
        }
        const body = Buffer.concat(parts);
        requests.push({ method: request.method, path: request.url, headers: request.headers, body: body.toString(), bytes: body });
        answer(request, response, body, requests.length - 1);
    });
    servers.push(server);
    await new Promise((resolve) => { server.listen(0, "127.0.0.1", resolve); });
    return { url: `http://127.0.0.1:${server.address().port}`, requests, server };
}

export function problem(response, status, code, more = {}, headers = {}) {
    response.writeHead(status, { "content-type": "application/problem+json", ...headers });
    response.end(JSON.stringify({ type: "about:blank", title: code, status, detail: `It is ${code}.`, code, retryable: false, maybe_applied: false, ...more }));
}

export function json(response, value, status = 200) {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify(value));
}
