/* What an actor reads from storage: its first rows when it wakes, and what a turn cannot go on
 * without. All of it off the worker's thread; results come back through actor_on_loaded and
 * actor_on_rows. */
#ifndef ACTOR_ACTOR_READ_H
#define ACTOR_ACTOR_READ_H

#include "actor/actor.h"

enum {
    LOAD_ROWS_MAX = 64, /* read ahead when an actor wakes: small ones are whole then */
    LOAD_BYTES_MAX = 32 * 1024,
};

void actor_load(struct actor *a);

/* Fetches what the turn wants. True where all of it was in memory; else actor_on_rows will be called.
 * The first error is in a->read_err. Scans wait until the actor's own writes are in storage. */
bool actor_read(struct actor *a) MUST_CHECK;

/* A batch became durable: scans that waited for it may begin. */
void actor_on_drained(struct actor *a);

/* Results still under way will be thrown away. */
void actor_cancel_reads(struct actor *a);

#endif
