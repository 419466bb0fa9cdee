/* Operations of the host's library; what it refuses becomes an error of the standard. */
import { host } from "../../host.js";
import { dataError, notSupported, operationError } from "./key.js";

function call(args) {
    if (typeof host.crypto !== "function") {
        throw notSupported("This build has no such operation.");
    }
    return host.crypto(...args);
}

export function operate(...args) {
    try {
        return call(args);
    } catch (error) {
        throw error?.name === "NotSupportedError" ? error : operationError(`The operation failed: ${error?.message}`);
    }
}

/* Of what somebody brought as a key. */
export function readKey(...args) {
    try {
        return call(args);
    } catch (error) {
        throw error?.name === "NotSupportedError" ? error : dataError(`The key is not valid: ${error?.message}`);
    }
}
