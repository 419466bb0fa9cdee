/* DurableObjectId: who an actor is. The digits of one that was made of a name are asked for when
 * somebody wants to see them; the name is enough to call it. */
import * as channel from "./channel.js";

let numbersOf; /* reads the private fields of an id */

export class DurableObjectId {
    #className;
    #hex;
    #name;

    static {
        numbersOf = (id) => #hex in id ? { className: id.#className, hex: id.#hex, name: id.#name } : null;
    }

    constructor(className, hex, name) {
        this.#className = className;
        this.#hex = hex;
        this.#name = name;
        if (name !== undefined) {
            Object.defineProperty(this, "name", { value: name, enumerable: true });
        }
    }

    get name() {
        return this.#name;
    }

    toString() {
        this.#hex ??= channel.answerNow("identity", [this.#className, this.#name]);
        return this.#hex;
    }

    equals(other) {
        const theirs = partsOf(other);
        if (theirs === null) {
            throw new TypeError("equals(): the argument is not a DurableObjectId.");
        }
        return theirs.className === this.#className &&
            ((this.#name !== undefined && theirs.name === this.#name) || other.toString() === this.toString());
    }
}

/* {className, hex or undefined, name or undefined}, or null where it is not an id. */
export function partsOf(id) {
    return typeof id === "object" && id !== null ? numbersOf(id) : null;
}
