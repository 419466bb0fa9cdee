/* One-shot code: a function of (input, api), with the powers that were granted. */
import * as channel from "./channel.js";
import * as storage from "./storage.js";
import { DurableObjectNamespace } from "./namespace.js";
import { Modules } from "./modules.js";
import { host } from "./host.js";
import { linkOneShot } from "./link.js";
import { setOneShot } from "./events.js";

const NAME = "code.js";

function makeApi(grants) {
    const all = new storage.DurableObjectStorage();
    const actors = {};
    for (const className of grants.actors ?? []) {
        actors[className] = new DurableObjectNamespace(className);
    }
    const api = { actors };
    api.storage = {
        get: (keys, options) => all.get(keys, options),
        put: (key, value, options) => all.put(key, value, options),
        delete: (keys, options) => all.delete(keys, options),
        list: (options) => all.list(options),
    };
    return api;
}

/* The code as it is where it is an expression, else as a module with a default export. */
async function functionOf(code) {
    if (!/\b(export|import)\b/.test(code)) {
        return host.evaluate(`(${code}\n)`, NAME);
    }
    try {
        return host.evaluate(`(${code}\n)`, NAME);
    } catch (error) {
        if (!(error instanceof SyntaxError)) {
            throw error;
        }
    }
    const exports = await new Modules().evaluate(NAME, linkOneShot(code, NAME));
    return exports.default;
}

export async function startExecute(start) {
    const grants = start.grants ?? {};
    storage.rights.read = grants.storage === "read" || grants.storage === "write";
    storage.rights.write = grants.storage === "write";
    channel.withholdWrites();
    const run = await functionOf(start.code);
    if (typeof run !== "function") {
        throw new SyntaxError("The code is neither a function nor a module with a default export.");
    }
    const api = makeApi(grants);
    setOneShot((input) => run(input, api));
}
