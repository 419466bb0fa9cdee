/* stub.fetch: an HTTP request to another actor. */
import { notImplemented } from "./errors.js";

export async function fetchActor() {
    throw notImplemented("fetch of a stub");
}
