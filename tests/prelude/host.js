/* What the host of a prelude can do that the language cannot, by node. */
import { createHash, randomFillSync } from "node:crypto";
import { crypto } from "./host_crypto.js";

export const host = {
    random: (bytes) => randomFillSync(bytes),
    encode: (text) => new TextEncoder().encode(text),
    decode: (bytes, fatal, ignoreBOM) => new TextDecoder("utf-8", { fatal, ignoreBOM }).decode(bytes),
    digest: (name, bytes) => new Uint8Array(createHash(name.replace("-", "")).update(bytes).digest()),
    crypto,
};
