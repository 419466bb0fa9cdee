/* What scenarios share: named cases, run by GET /NAME, and values as JSON that both engines write alike. */

const views = [
    Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array,
    Float64Array, BigInt64Array, BigUint64Array,
];

/* Messages of the engine itself differ between engines, and say nothing of the runtime. */
export function shown(value, seen = new Map()) {
    switch (typeof value) {
    case "undefined":
        return { $: "undefined" };
    case "bigint":
        return { $: `${value}n` };
    case "symbol":
    case "function":
        return { $: typeof value };
    case "number":
        return Number.isFinite(value) && !Object.is(value, -0) ? value : { $: Object.is(value, -0) ? "-0" : String(value) };
    case "object":
        return value === null ? null : shownObject(value, seen);
    default:
        return value;
    }
}

function shownObject(value, seen) {
    if (seen.has(value)) {
        return { $: `the same as number ${seen.get(value)}` };
    }
    seen.set(value, seen.size + 1);
    const inner = (one) => shown(one, seen);
    if (Array.isArray(value)) {
        return Array.from(value, (one, i) => i in value ? inner(one) : { $: "hole" });
    }
    if (value instanceof Date) {
        return { Date: Number.isNaN(value.getTime()) ? "NaN" : value.getTime() };
    }
    if (value instanceof RegExp) {
        return { RegExp: String(value), lastIndex: value.lastIndex };
    }
    if (value instanceof Map) {
        return { Map: [...value].map(([key, one]) => [inner(key), inner(one)]) };
    }
    if (value instanceof Set) {
        return { Set: [...value].map(inner) };
    }
    if (value instanceof Error) {
        return shownError(value, inner);
    }
    if (value instanceof ArrayBuffer) {
        return { ArrayBuffer: [...new Uint8Array(value)] };
    }
    if (value instanceof DataView) {
        return { DataView: [value.byteOffset, value.byteLength], buffer: inner(value.buffer) };
    }
    const view = views.find((type) => value instanceof type);
    if (view !== undefined) {
        return { [view.name]: Array.from(value, inner), offset: value.byteOffset, buffer: inner(value.buffer) };
    }
    if (value instanceof Number || value instanceof String || value instanceof Boolean || value instanceof BigInt) {
        return { boxed: inner(value.valueOf()) };
    }
    return Object.fromEntries(Object.keys(value).map((key) => [key, inner(value[key])]));
}

/* Texts are told already; the others a runtime may add to what it throws or copies. */
const ownOfRuntime = new Set(["name", "message", "stack", "cause", "durableObjectReset", "remote"]);

function shownError(error, inner) {
    const told = { [Object.getPrototypeOf(error).constructor.name]: `${error.name}: ${error.message}` };
    const members = Object.keys(error).filter((key) => !ownOfRuntime.has(key) && !(error instanceof DOMException));
    for (const key of members.sort()) {
        told[key] = inner(error[key]);
    }
    return Object.hasOwn(error, "cause") ? { ...told, cause: inner(error.cause) } : told;
}

/* What `run` gives, or the name and message of what it throws. */
export async function outcome(run) {
    try {
        return await run();
    } catch (error) {
        return { thrown: textOf(error) };
    }
}

/* The same where the message is the engine's own or each runtime's own words. */
export async function outcomeName(run) {
    try {
        return await run();
    } catch (error) {
        return { thrown: error.name };
    }
}

export function textOf(error) {
    return `${error?.name}: ${error?.message}`;
}

export const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/* Until `look` gives something that is true; each look is a request of its own. */
export async function until(look) {
    for (let i = 0; i < 400; i++) {
        const seen = await look();
        if (seen) {
            return seen;
        }
        await later(25);
    }
    throw new Error("what was waited for did not happen");
}

/* Cases: an object of functions (env, request). Each has actors of its own: `fresh(env.NAME)`. */
let actors = 0;

export function fresh(namespace) {
    return namespace.get(namespace.idFromName(`actor-${++actors}-${Math.random()}`));
}

export function scenario(cases) {
    return {
        async fetch(request, env, ctx) {
            const { pathname } = new URL(request.url);
            if (pathname === "/") {
                return Response.json(Object.keys(cases));
            }
            const name = decodeURIComponent(pathname.slice(1));
            try {
                return Response.json({ answer: shown(await cases[name](env, request, ctx)) });
            } catch (error) {
                return Response.json({ thrown: shown(error) });
            }
        },
    };
}
