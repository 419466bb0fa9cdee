/* Numbers of the objects of one document while it is written, in the order in which they are begun. Most
 * documents have few, so the first ones are found by looking at all. */
const FEW = 16;

let count = 0;
let first = null;
let few = null; /* those behind the first */
let many = null; /* all, by object */

/* Begins a document; `end` takes what this gives. */
export function begin() {
    const others = count === 0 ? null : { count, first, few, many };
    count = 0;
    first = few = many = null;
    return others;
}

export function end(others) {
    count = others === null ? 0 : others.count;
    first = others === null ? null : others.first;
    few = others === null ? null : others.few;
    many = others === null ? null : others.many;
}

/* How many objects ago it was begun: 1 is the last one; 0: it was not. So a document means the same inside
 * of another one. */
export function ago(object) {
    if (many !== null) {
        return count - (many.get(object) ?? count);
    }
    if (object === first) {
        return count;
    }
    const at = few === null ? -1 : few.indexOf(object);
    return at < 0 ? 0 : count - at - 1;
}

export function give(object) {
    if (count === 0) {
        first = object;
    } else if (many !== null) {
        many.set(object, count);
    } else {
        few ??= [];
        few.push(object);
        if (few.length === FEW) {
            many = new Map([first, ...few].map((one, i) => [one, i]));
        }
    }
    count++;
}
