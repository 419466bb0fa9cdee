/* One-shot code: a function of (input, api), with the powers that were granted. */
import * as channel from "./channel.js";
import * as storage from "./storage.js";
import { DurableObjectNamespace } from "./namespace.js";
import { Modules } from "./modules.js";
import { host } from "./host.js";
import { linker } from "./link.js";
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

function evaluateOrNull(source) {
    try {
        return host.evaluate(source, NAME);
    } catch (error) {
        if (error instanceof SyntaxError) {
            return null;
        }
        throw error;
    }
}

/* A module whose only statement of modules is one `export default` at the start of a line needs no
 * linker: what is exported is returned. */
function simpleModule(code) {
    const exporting = /^([ \t]*)export\s+default\b/m;
    if (code.match(/\b(?:export|import)\b/g)?.length !== 1 || !exporting.test(code)) {
        return null;
    }
    const found = evaluateOrNull(
        `(function (module) { "use strict"; ${code.replace(exporting, "$1module.default =")}\n; return module; })`);
    return found && found({}).default;
}

async function functionOf(code) {
    const mayBeModule = /\b(?:export|import)\b/.test(code);
    if (!mayBeModule) {
        return host.evaluate(`(${code}\n)`, NAME);
    }
    const found = evaluateOrNull(`(${code}\n)`) ?? simpleModule(code);
    if (found) {
        return found;
    }
    const exports = await new Modules().evaluate(NAME, linker().linkOneShot(code, NAME));
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
