/* The input gate: what may enter the actor now.
 *
 * While a storage operation is pending nothing new enters: no event, no answer of a fetch or a call,
 * no timer. While something blocks (blockConcurrencyWhile, a transaction) no new event does, but the
 * rest, which what blocks may be waiting for, passes. */
let storagePending = 0;
let blocks = 0;

export function storageBegins() {
    storagePending++;
}

export function storageEnds() {
    storagePending--;
}

export function block() {
    blocks++;
}

export function unblock() {
    blocks--;
}

export function isOpen() {
    return storagePending === 0;
}

export function isOpenToEvents() {
    return storagePending === 0 && blocks === 0;
}
