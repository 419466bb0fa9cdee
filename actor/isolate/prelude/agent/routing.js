/* Which agent an address names: /agents/{class in kebab case}/{name}[/{path}]. */
import { Response } from "../web/response.js";
import { URL } from "../web/url.js";

/* "MyCounter" -> "my-counter", "COUNTER" -> "counter", "my_counter" -> "my-counter"; as clients of the npm
 * package `agents` do it, and the node (node/agent_path.c). */
export function kebabOf(name) {
    if (name === name.toUpperCase() && name !== name.toLowerCase()) {
        return name.toLowerCase().replace(/_/g, "-");
    }
    return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
        .replace(/^-/, "").replace(/_/g, "-").replace(/-$/, "");
}

/* The answer of the agent that the request names; null: it names none. */
export async function routeAgentRequest(request, env, options = {}) {
    const prefix = (options.prefix ?? "agents").split("/").filter((part) => part !== "");
    const parts = new URL(request.url).pathname.split("/").filter((part) => part !== "");
    if (parts.length < prefix.length + 2 || prefix.some((part, i) => parts[i] !== part)) {
        return null;
    }
    const [kind, name] = parts.slice(prefix.length);
    const binding = Object.keys(env).find((key) => kebabOf(key) === kind && typeof env[key]?.getByName === "function");
    if (binding === undefined) {
        return null;
    }
    const isSocket = request.headers.get("upgrade")?.toLowerCase() === "websocket";
    const hook = isSocket ? options.onBeforeConnect : options.onBeforeRequest;
    const said = await hook?.(request, { party: kind, name, className: binding });
    if (said instanceof Response) {
        return said;
    }
    return await env[binding].getByName(decodeURIComponent(name)).fetch(said ?? request);
}

export async function getAgentByName(namespace, name) {
    return namespace.getByName(name);
}
