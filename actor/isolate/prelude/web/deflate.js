/* What compression.js needs of fflate. */
export { Deflate, Gunzip, Gzip, Inflate, Unzlib, Zlib } from "fflate";
