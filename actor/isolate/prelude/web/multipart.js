/* The parser of multipart bodies. */
export { parseMultipart } from "@remix-run/multipart-parser";
