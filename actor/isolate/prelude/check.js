/* The check of a deploy: modules are linked and evaluated, and their exports named. */
import * as lifecycle from "./lifecycle.js";
import { DurableObject, WorkerEntrypoint, WorkflowEntrypoint } from "./entrypoints.js";
import { linker } from "./link.js";
import { Modules, builtinNames, placeOf, resolve, setModuleEnv } from "./modules.js";
import { methodsOf } from "./instance.js";

const isClass = (value) =>
    typeof value === "function" && /^class\b/.test(Function.prototype.toString.call(value));

function kindOf(constructor) {
    if (constructor.prototype instanceof DurableObject) {
        return "object";
    }
    return constructor.prototype instanceof WorkflowEntrypoint ? "workflow" : "other";
}

export const isEntry = (value) =>
    (typeof value === "object" && value !== null && typeof value.fetch === "function") ||
    (typeof value === "function" && value.prototype instanceof WorkerEntrypoint);

function checkWanted(exports, wanted) {
    for (const name of wanted ?? []) {
        if (!isClass(exports[name])) {
            throw new TypeError(`The main module exports no class named "${name}".`);
        }
    }
}

/* Columns of a first line, which the linker may have pushed right. */
function unshift(error, source, code) {
    const place = placeOf(error);
    if (place.line !== 1 || typeof source !== "string") {
        return place;
    }
    const before = source.split("\n", 1)[0];
    const after = code.split("\n", 1)[0];
    const shift = after.endsWith(before) ? after.length - before.length : 0;
    return place.column > shift ? { ...place, column: place.column - shift } : place;
}

async function evaluateAll(linked, sources) {
    const modules = new Modules();
    linked.forEach(([name]) => modules.declare(name));
    let exports = {};
    for (const [name, code] of linked) {
        try {
            exports = await modules.evaluate(name, code);
        } catch (error) {
            if (typeof error === "object" && error !== null && error.file === undefined) {
                const { file, ...place } = unshift(error, sources[error.sourceURL ?? name], code);
                Object.assign(error, { file: file ?? name, line: 1, column: 1 }, place);
            }
            throw error;
        }
    }
    return exports;
}

export async function check(start, env) {
    setModuleEnv(env, lifecycle.waitUntil);
    const linked = new (linker().Linker)(start.modules, { resolve, builtinNames }).link(start.main);
    const exports = await evaluateAll(linked, start.modules);
    checkWanted(exports, start.classes);
    const classes = Object.keys(exports)
        .filter((name) => name !== "default" && isClass(exports[name]))
        .map((name) => ({ name, methods: methodsOf(exports[name]), kind: kindOf(exports[name]) }));
    return { modules: linked, classes, has_default: isEntry(exports.default) };
}
