/* The writes that reads see and new ones go to: of the innermost open transaction, or else those
 * that leave with the next frame. */
import { unsent } from "./channel.js";
import { Writes } from "./writes.js";

let top = unsent;

export function writes() {
    return top;
}

/* Opens a level; it ends with keep or drop. */
export function open() {
    top = new Writes(top);
    return top;
}

export function keep(level) {
    level.fall();
    leave(level);
}

export function drop(level) {
    leave(level);
}

/* Usually the top one; where levels end in another order, those above it lie on what is below it. */
function leave(level) {
    if (top === level) {
        top = level.below;
        return;
    }
    for (let one = top; one !== null; one = one.below) {
        if (one.below === level) {
            one.below = level.below;
            return;
        }
    }
}

export function isInTransaction() {
    return top !== unsent;
}
