/* Modules of users, linked to functions of (exports, require, module), and the built-in ones. */
import * as entrypoints from "./entrypoints.js";
import { Agent } from "./agent/agent.js";
import { StreamingResponse, callable } from "./agent/protocol.js";
import { getAgentByName, routeAgentRequest } from "./agent/routing.js";
import { host } from "./host.js";

const WRAPPER = "(async function (exports, require, module) {";

const shared = { env: {}, waitUntil: null };

/* What "cloudflare:workers" (and "dormouse", which has more) has beside the base classes. */
export function setModuleEnv(env, waitUntil) {
    Object.assign(shared.env, env);
    shared.waitUntil = waitUntil;
}

function asModule(exports) {
    return Object.defineProperty(exports, "__esModule", { value: true });
}

function makeWorkers() {
    const { DurableObject, RpcTarget, WorkerEntrypoint, WorkflowEntrypoint } = entrypoints;
    return asModule({
        DurableObject, RpcTarget, WorkerEntrypoint, WorkflowEntrypoint, env: shared.env,
        waitUntil: (promise) => shared.waitUntil(promise),
    });
}

function makeBuiltins() {
    const workers = makeWorkers();
    const agents = { Agent, StreamingResponse, callable, unstable_callable: callable, getAgentByName, routeAgentRequest };
    return new Map([
        ["cloudflare:workers", workers],
        ["dormouse", asModule({ ...workers, ...agents, NonRetryableError: entrypoints.NonRetryableError })],
        ["agents", asModule(agents)],
        ["cloudflare:workflows", asModule({ NonRetryableError: entrypoints.NonRetryableError })],
    ]);
}

let builtins = null;

function builtin(name) {
    builtins ??= makeBuiltins();
    return builtins.get(name);
}

/* The names that a built-in module exports; null where it is none. */
export function builtinNames(name) {
    const found = builtin(name);
    return found === undefined ? null : Object.keys(found);
}

/* The module that `specifier` means inside of `from`; names have no leading "./". */
export function resolve(specifier, from) {
    if (!specifier.startsWith("./") && !specifier.startsWith("../")) {
        return specifier;
    }
    const path = from.split("/").slice(0, -1);
    for (const part of specifier.split("/")) {
        if (part === "..") {
            if (path.length === 0) {
                return specifier;
            }
            path.pop();
        } else if (part !== ".") {
            path.push(part);
        }
    }
    return path.join("/");
}

/* Imports whose names are not those of modules: the linker notes them on the last line. */
function renamedImports(code) {
    const at = code.lastIndexOf("\n//# imports=");
    return at < 0 ? null : JSON.parse(code.slice(at + "\n//# imports=".length));
}

export class Modules {
    constructor() {
        this.loaded = new Map();
    }

    require(specifier, from, renamed) {
        const own = builtin(specifier);
        if (own !== undefined) {
            return own;
        }
        const module = this.loaded.get(renamed?.[specifier] ?? resolve(specifier, from));
        if (module === undefined) {
            throw new Error(`No such module: ${specifier}`);
        }
        return module.exports;
    }

    declare(name) {
        const module = { exports: {}, meta: { url: `file:///${name}` } };
        this.loaded.set(name, module);
        return module;
    }

    /* Evaluates linked code; settles once the module's own code, awaits included, has run. */
    async evaluate(name, code) {
        const module = this.loaded.get(name) ?? this.declare(name);
        const renamed = renamedImports(code);
        const body = host.evaluate(`${WRAPPER}${code}\n})`, name);
        await body(module.exports, (specifier) => this.require(specifier, name, renamed), module);
        return module.exports;
    }
}

/* The place of an error in the source of the user, whose first line the wrapper pushed right. */
export function placeOf(error) {
    const { line, column, sourceURL } = error;
    if (typeof error.file === "string" || !Number.isInteger(line)) {
        return {};
    }
    const shift = line === 1 ? WRAPPER.length : 0;
    return { file: sourceURL, line, column: column > shift ? column - shift : column };
}
