/* URL, URLSearchParams, URLPattern. */
import { URL as WhatwgUrl, URLSearchParams } from "whatwg-url";
import { uncloneable } from "../clone.js";

export { URLSearchParams };
export { URLPattern } from "urlpattern-polyfill/urlpattern";

export const URL = WhatwgUrl;

for (const name of ["createObjectURL", "revokeObjectURL"]) {
    delete URL[name];
}
for (const type of [URL, URLSearchParams]) {
    Object.defineProperty(type.prototype, uncloneable, { value: true });
}

/* Requests of one actor go to few addresses: the last ones that were parsed are kept. */
const KEPT = 64;
const parsed = new Map();

/* The address in full, or a TypeError. */
export function hrefOf(address) {
    const known = parsed.get(address);
    if (known !== undefined) {
        return known;
    }
    const { href } = new URL(address);
    if (parsed.size >= KEPT) {
        parsed.clear();
    }
    if (address.length < 1024) {
        parsed.set(address, href);
    }
    return href;
}
