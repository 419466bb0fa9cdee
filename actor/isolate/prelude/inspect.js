/* How console shows values: for people, bounded in depth, width and length. */
import { stackOf } from "./stack.js";

const DEPTH_MAX = 3;
const ITEMS_MAX = 100;
const STRING_MAX = 10000;

function quoted(text) {
    return JSON.stringify(text.length > STRING_MAX ? `${text.slice(0, STRING_MAX)}…` : text);
}

function keyText(key) {
    if (typeof key === "symbol") {
        return `[${String(key)}]`;
    }
    return /^[A-Za-z_$][\w$]*$/.test(key) ? key : quoted(key);
}

function errorText(error, depth, seen) {
    const head = String(error);
    const stack = typeof error.stack === "string" ? stackOf(error.stack.trim()) : "";
    const frames = stack.startsWith(head) ? stack.slice(head.length).trim() : stack;
    const own = Object.keys(error).filter((key) => !["line", "column", "sourceURL", "stack"].includes(key));
    const rest = own.map((key) => `${keyText(key)}: ${show(error[key], depth - 1, seen)}`);
    if (Object.hasOwn(error, "cause")) {
        rest.push(`cause: ${show(error.cause, depth - 1, seen)}`);
    }
    return head + (frames === "" ? "" : `\n    ${frames.replaceAll("\n", "\n    ")}`) +
        (rest.length === 0 ? "" : ` { ${rest.join(", ")} }`);
}

function joined(prefix, opening, items, left, closing) {
    if (left > 0) {
        items.push(`… ${left} more`);
    }
    const head = prefix === "" ? "" : `${prefix} `;
    if (items.length === 0) {
        return `${head}${opening}${closing}`;
    }
    return opening === "[" ? `${head}[ ${items.join(", ")} ]` : `${head}{ ${items.join(", ")} }`;
}

function list(prefix, opening, values, count, closing, each) {
    const items = [];
    for (const value of values) {
        if (items.length === ITEMS_MAX) {
            break;
        }
        items.push(each(value));
    }
    return joined(prefix, opening, items, count - items.length, closing);
}

function nameOf(object) {
    const prototype = Object.getPrototypeOf(object);
    if (prototype === null) {
        return "[Object: null prototype]";
    }
    const tag = object[Symbol.toStringTag];
    const name = prototype.constructor?.name;
    return typeof name === "string" && name !== "" ? name : typeof tag === "string" ? tag : "Object";
}

function showObject(object, depth, seen) {
    const each = (value) => show(value, depth - 1, seen);
    if (Array.isArray(object)) {
        return list("", "[", object, object.length, "]", each);
    }
    if (object instanceof Map) {
        return list(`Map(${object.size})`, "{", object, object.size, "}",
                    ([key, value]) => `${each(key)} => ${each(value)}`);
    }
    if (object instanceof Set) {
        return list(`Set(${object.size})`, "{", object, object.size, "}", each);
    }
    if (ArrayBuffer.isView(object) && !(object instanceof DataView)) {
        return list(`${nameOf(object)}(${object.length})`, "[", object, object.length, "]", each);
    }
    const name = nameOf(object);
    const keys = Reflect.ownKeys(object).filter((key) => Object.prototype.propertyIsEnumerable.call(object, key));
    return list(name === "Object" ? "" : name, "{", keys, keys.length, "}", (key) => {
        const { get, value } = Object.getOwnPropertyDescriptor(object, key);
        return `${keyText(key)}: ${get ? "[Getter]" : each(value)}`;
    });
}

function showFunction(value) {
    const source = Function.prototype.toString.call(value);
    const kind = source.startsWith("class") ? "class" : "Function";
    return `[${kind}${value.name ? `${kind === "class" ? " " : ": "}${value.name}` : " (anonymous)"}]`;
}

function show(value, depth, seen) {
    switch (typeof value) {
    case "string":
        return quoted(value);
    case "bigint":
        return `${value}n`;
    case "symbol":
        return String(value);
    case "function":
        return showFunction(value);
    case "object":
        break;
    default:
        return Object.is(value, -0) ? "-0" : String(value);
    }
    if (value === null) {
        return "null";
    }
    if (value instanceof Error) {
        return errorText(value, depth, seen);
    }
    if (value instanceof Date) {
        return Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString();
    }
    if (value instanceof RegExp) {
        return String(value);
    }
    if (value instanceof Promise) {
        return "Promise {}";
    }
    if (seen.includes(value)) {
        return "[Circular]";
    }
    if (depth <= 0) {
        return Array.isArray(value) ? "[Array]" : `[${nameOf(value)}]`;
    }
    seen.push(value);
    const shown = showObject(value, depth, seen);
    seen.pop();
    return shown;
}

export function inspect(value) {
    try {
        return show(value, DEPTH_MAX, []);
    } catch (error) {
        return "[an object that cannot be shown]";
    }
}

const placeholders = {
    s: (value) => typeof value === "string" ? value : inspect(value),
    d: (value) => typeof value === "object" ? "NaN" : String(Number(value)),
    i: (value) => typeof value === "object" ? "NaN" : String(Number.parseInt(value, 10)),
    f: (value) => String(Number.parseFloat(value)),
    j: (value) => JSON.stringify(value),
    o: inspect,
    O: inspect,
    c: () => "",
};

/* The text of one call of console.log. */
export function format(args) {
    let rest = args;
    let text = "";
    if (typeof args[0] === "string") {
        let used = 1;
        text = args[0];
        if (args.length > 1 && text.includes("%")) {
            text = text.replace(/%([sdifjoOc%])/g, (whole, letter) => {
                if (letter === "%") {
                    return "%";
                }
                return used < args.length ? placeholders[letter](args[used++]) : whole;
            });
        }
        rest = args.slice(used);
        text = rest.length === 0 ? text : `${text} `;
    }
    return text + rest.map((value) => typeof value === "string" ? value : inspect(value)).join(" ");
}
