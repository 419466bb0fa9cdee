/* The linker (linker.js), a script inside of this one. It is larger than all the rest, and only
 * deploys and a few one-shot programs need it: as text it costs a start nothing. */
import source from "script:linker.js";
import { host } from "./host.js";

let loaded = null;

/* {Linker, linkOneShot} */
export function linker() {
    loaded ??= host.evaluate(source, "dormouse:linker");
    return loaded;
}
