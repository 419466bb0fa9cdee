/* The text of libraries in children.
 *
 * A fork copies the page tables of a mapping that has a page of its own, and leaves those of a file alone to be
 * made again, a fault for each 64 KB that a child runs through: two hundred in a child's first milliseconds.
 * Here each mapping of a file that is read or run gets one page of its own. */
#ifndef ACTOR_ISOLATE_TEXT_PAGES_H
#define ACTOR_ISOLATE_TEXT_PAGES_H

/* In the zygote, before it gives up its root. Where it cannot, forks are as they were. */
void text_pages_share(int proc_fd);

#endif
