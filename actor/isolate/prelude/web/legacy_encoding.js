/* Decoders of all other encodings of the Encoding Standard. */
export { TextDecoder } from "@exodus/bytes/encoding.js";
