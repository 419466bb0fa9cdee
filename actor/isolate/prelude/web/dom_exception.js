/* DOMException, whose names other parts of the Web APIs and the clone of values use. */
const codes = {
    IndexSizeError: 1, HierarchyRequestError: 3, WrongDocumentError: 4, InvalidCharacterError: 5,
    NoModificationAllowedError: 7, NotFoundError: 8, NotSupportedError: 9, InUseAttributeError: 10,
    InvalidStateError: 11, SyntaxError: 12, InvalidModificationError: 13, NamespaceError: 14,
    InvalidAccessError: 15, TypeMismatchError: 17, SecurityError: 18, NetworkError: 19,
    AbortError: 20, URLMismatchError: 21, QuotaExceededError: 22, TimeoutError: 23,
    InvalidNodeTypeError: 24, DataCloneError: 25,
};
const withoutCode = new Set([
    "EncodingError", "NotReadableError", "UnknownError", "ConstraintError", "DataError",
    "TransactionInactiveError", "ReadOnlyError", "VersionError", "OperationError", "NotAllowedError",
]);

export class DOMException extends Error {
    #name;

    constructor(message = "", options = "Error") {
        const isBag = typeof options === "object" && options !== null;
        super(String(message), isBag && "cause" in options ? { cause: options.cause } : undefined);
        this.#name = isBag ? String(options.name ?? "Error") : String(options);
    }

    get name() {
        return this.#name;
    }

    get code() {
        return Object.hasOwn(codes, this.#name) ? codes[this.#name] : 0;
    }

    get [Symbol.toStringTag]() {
        return "DOMException";
    }
}

/* DOMException.NOT_FOUND_ERR and the like. */
for (const [name, value] of Object.entries(codes)) {
    const constant = `${name.replace(/Error$/, "").replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase()}_ERR`;
    for (const holder of [DOMException, DOMException.prototype]) {
        Object.defineProperty(holder, constant, { value, enumerable: true });
    }
}

/* Whether an error of this name was one of ours; SyntaxError is the language's own. */
export function isDomName(name) {
    return name !== "SyntaxError" && (Object.hasOwn(codes, name) || withoutCode.has(name));
}
