/* For whatwg-url: UTF-8 without TextEncoder, which is not there yet when it is evaluated. */
import { host } from "../host.js";

export function utf8Encode(text) {
    return host.encode(text);
}

export function utf8DecodeWithoutBOM(bytes) {
    return host.decode(bytes, false, true);
}
