/* The functions of the program around us (main.js gets them). No code of a user ever sees them: powers
 * are frames, and these make frames. */
export const host = __host;
