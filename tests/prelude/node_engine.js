/* The prelude in a context of node: nothing but the language is there. */
import { host } from "./host.js";
import vm from "node:vm";

export class NodeEngine {
    #script;

    /* `daemon` has sent(bytes), nextFrame(), now and exited(). */
    constructor(bundle, daemon) {
        NodeEngine.scripts ??= new Map();
        this.#script = NodeEngine.scripts.get(bundle) ?? new vm.Script(bundle, { filename: "prelude.js" });
        NodeEngine.scripts.set(bundle, this.#script);
        this.context = vm.createContext({});
        this.Uint8Array = vm.runInContext("Uint8Array", this.context);
        vm.runInContext("delete globalThis.console;", this.context);
        this.context.__host = this.#host(daemon);
        this.runtime = this.#script.runInContext(this.context);
        this.runtime.forked();
    }

    /* Arrays of the context, where `instanceof` knows them. */
    #inside(value) {
        if (value instanceof Uint8Array) {
            const copy = new this.Uint8Array(value.length);
            copy.set(value);
            return copy;
        }
        return Array.isArray(value) ? value.map((item) => this.#inside(item)) : value;
    }

    #host(daemon) {
        return {
            send: (bytes, length) => daemon.sent(bytes.slice(0, length)),
            receive: () => this.#inside(daemon.nextFrame()),
            now: () => daemon.now,
            evaluate: (source, url) => vm.runInContext(source, this.context, { filename: url }),
            random: (bytes) => host.random(bytes),
            encode: (text) => this.#inside(host.encode(text)),
            decode: host.decode,
            digest: (name, bytes) => this.#inside(host.digest(name, bytes)),
            crypto: (...args) => this.#inside(host.crypto(...args)),
            memory: () => 0,
            exit: () => daemon.exited(),
            onRejection: () => {},
        };
    }

    frame(bytes) {
        return this.runtime.frame(this.#inside(bytes));
    }

    tick(now) {
        return this.runtime.tick(now);
    }
}
