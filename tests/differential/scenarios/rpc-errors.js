import { DurableObject } from "cloudflare:workers";
import { fresh, outcome, scenario } from "./harness.js";

class Mine extends Error {
    name = "Mine";
    code = "E_MINE";
}

class Unnamed extends Error {}

export class Thrower extends DurableObject {
    sync(kind) {
        throw thrown[kind]();
    }

    async async(kind) {
        await null;
        throw thrown[kind]();
    }

    async afterStorage(kind) {
        await this.ctx.storage.get("x");
        throw thrown[kind]();
    }

    async through(kind) {
        return this.env.Thrower.getByName("inner").sync(kind);
    }

    async catches(kind) {
        try {
            await this.env.Thrower.getByName("inner").sync(kind);
        } catch (error) {
            return [error instanceof Error, error.name, error.message, error.remote === true, typeof error.stack];
        }
    }

    async goesOn() {
        this.calls = (this.calls ?? 0) + 1;
        return this.calls;
    }

    rejects() {
        return Promise.reject(new RangeError("rejected"));
    }
}

const thrown = {
    "Error": () => new Error("m"),
    "TypeError": () => new TypeError("t"),
    "RangeError": () => new RangeError("r"),
    "SyntaxError": () => new SyntaxError("s"),
    "ReferenceError": () => new ReferenceError("f"),
    "EvalError": () => new EvalError("v"),
    "URIError": () => new URIError("u"),
    "Mine": () => new Mine("mine"),
    "Unnamed": () => new Unnamed("unnamed"),
    "named": () => Object.assign(new Error("named"), { name: "Other" }),
    "empty": () => new Error(),
    "DOMException": () => new DOMException("d", "AbortError"),
    "DOMException of data": () => new DOMException("d", "DataCloneError"),
    "AggregateError": () => new AggregateError([new Error("a")], "all"),
    "a colon": () => new Error("with: a colon\nand a line"),
    "a name in the message": () => new Error("TypeError: not one"),
};

const others = {
    "a string": () => "text",
    "a number": () => 5,
    "undefined": () => undefined,
    "null": () => null,
    "an object": () => ({ message: "m", code: 1 }),
};

Object.assign(thrown, others);

async function seen(call) {
    try {
        return ["returned", await call()];
    } catch (error) {
        return [typeof error, error instanceof Error, error?.name, error?.message, Object.getPrototypeOf(error ?? {})?.constructor?.name];
    }
}

export default scenario({
    ...Object.fromEntries(Object.keys(thrown).map((kind) => [`thrown: ${kind}`, (env) => seen(() => env.Thrower.getByName("one").sync(kind))])),
    ...Object.fromEntries(["TypeError", "Mine"].map((kind) => [`thrown after an await: ${kind}`, (env) => seen(() => fresh(env.Thrower).async(kind))])),
    "thrown after storage": (env) => seen(() => fresh(env.Thrower).afterStorage("RangeError")),
    "rejected": (env) => seen(() => fresh(env.Thrower).rejects()),
    ...Object.fromEntries(["TypeError", "Mine", "a string"].map((kind) => [`through two objects: ${kind}`, (env) => seen(() => fresh(env.Thrower).through(kind))])),
    "caught by another object": (env) => fresh(env.Thrower).catches("TypeError"),
    async "an object goes on after it threw"(env) {
        const thrower = fresh(env.Thrower);
        return [await thrower.goesOn(), await outcome(() => thrower.sync("Error")), await thrower.goesOn()];
    },
});
