/* For whatwg-url: percent-encoding of UTF-8, the only encoding that URLs of code have. */
import { host } from "../host.js";

const hex = Array.from({ length: 256 }, (_, byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`);

export function percentEncodeAfterEncoding(encoding, input, set, spaceAsPlus = false) {
    let text = "";
    for (const byte of host.encode(input)) {
        if (spaceAsPlus && byte === 0x20) {
            text += "+";
        } else if (byte < 0x20 || byte > 0x7e || set.includes(String.fromCharCode(byte))) {
            text += hex[byte];
        } else {
            text += String.fromCharCode(byte);
        }
    }
    return text;
}
