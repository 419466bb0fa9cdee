/* DurableObjectNamespace: env.NAME, the class of actors that a binding names. */
import * as channel from "./channel.js";
import { DurableObjectId, partsOf } from "./object_id.js";
import { makeStub } from "./stub.js";
import { notImplemented } from "./errors.js";
import { uncloneable } from "./clone.js";

const NAME_BYTES_MAX = 512;

export function checkName(name) {
    name = String(name);
    if (name.length === 0 || name.length > NAME_BYTES_MAX) {
        throw new TypeError(`The name of an actor has 1 to ${NAME_BYTES_MAX} bytes.`);
    }
    return name;
}

function refuseJurisdiction(options) {
    if (options?.jurisdiction !== undefined && options.jurisdiction !== null) {
        throw notImplemented("jurisdictions");
    }
}

export class DurableObjectNamespace {
    #className;

    constructor(className) {
        this.#className = className;
    }

    idFromName(name) {
        return new DurableObjectId(this.#className, undefined, checkName(name));
    }

    newUniqueId(options) {
        refuseJurisdiction(options);
        const hex = channel.answerNow("identity", [this.#className, null]);
        return new DurableObjectId(this.#className, hex, undefined);
    }

    idFromString(digits) {
        digits = String(digits).toLowerCase();
        if (digits === "") {
            throw new TypeError("idFromString(): an id has 64 hexadecimal digits.");
        }
        const hex = channel.answerNow("identity", [this.#className, digits, true]);
        return new DurableObjectId(this.#className, hex, undefined);
    }

    get(id) {
        const parts = partsOf(id);
        if (parts === null) {
            throw new TypeError("get(): the argument is not a DurableObjectId.");
        }
        if (parts.className !== this.#className) {
            throw new TypeError("get(): the id is of another class.");
        }
        return makeStub(this.#className, parts.hex, parts.name, id);
    }

    getByName(name) {
        const id = this.idFromName(name);
        return makeStub(this.#className, undefined, id.name, id);
    }

    jurisdiction() {
        throw notImplemented("jurisdictions");
    }
}

Object.defineProperty(DurableObjectNamespace.prototype, uncloneable, { value: true });
