/* For whatwg-url: names of hosts in ASCII. The tables of Unicode are a script that is evaluated when the
 * first name needs them; names of plain ASCII do not. */
import source from "script:web/idna_tables.js";
import { host } from "../host.js";

let tables = null;

export function toASCII(domain, options) {
    if (/^[\x00-\x7f]*$/.test(domain) && !options.checkHyphens && !/xn--/i.test(domain)) {
        return domain.toLowerCase();
    }
    tables ??= host.evaluate(source, "dormouse:idna");
    return tables.toASCII(domain, options);
}

export function toUnicode(domain, options) {
    tables ??= host.evaluate(source, "dormouse:idna");
    return tables.toUnicode(domain, options);
}
