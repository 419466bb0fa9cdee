/* Mapping of international names of hosts (UTS 46). */
export { toASCII, toUnicode } from "tr46";
