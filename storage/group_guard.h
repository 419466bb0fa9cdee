/* The guards of a group: what the library leaves to its user, and where it is wrong. Each is a sentence
 * in the file that has it; tests switch one off, to show what it is there for. */
#ifndef STORAGE_GROUP_GUARD_H
#define STORAGE_GROUP_GUARD_H

#include <stdbool.h>

enum group_guard {
    GROUP_GUARD_DURABLE = 4096,      /* entries count once they are durable */
    GROUP_GUARD_HOLD = 1,            /* messages wait for the term and the vote they speak of */
    GROUP_GUARD_STALE_REJECTION = 2, /* a late rejection takes nothing back */
    GROUP_GUARD_OLD_TERM = 4,       /* the answer to a message of an older term says nothing else */
    GROUP_GUARD_SECOND_VOTE = 8,    /* a vote that is given away is not asked for again */
    GROUP_GUARD_LATE_PRE_VOTE = 16, /* an answer to a pre-vote counts in that pre-vote alone */
    GROUP_GUARD_PRE_VOTE_TERM = 32, /* a refused pre-vote says of which term the refuser is */
    GROUP_GUARD_FIRST_IN_EVENT = 64, /* a configuration is the first entry that the core hears */
    GROUP_GUARD_ONE_PENDING = 128,   /* ... and says that the one before it was committed */
    GROUP_GUARD_BARRIER = 256,       /* a new leader appends an entry of its own term */
    GROUP_GUARD_OWN_TERM = 512,      /* members change only once that has been applied */
    GROUP_GUARD_VOTE_UNAWARE = 2048, /* who has a vote and has not heard of it votes */
    GROUP_GUARD_LONE_VOTER = 8192,   /* what a lone voter says is on its own disk first */
    GROUP_GUARD_WHOLE_LOG = 16384,   /* leadership goes to who has the whole log */
    GROUP_GUARD_REST = 32768,        /* a group rests where all have all that there is */
    GROUP_GUARD_SILENCE = 65536,     /* silent is who was not heard for a while */
    GROUP_GUARD_FORGOTTEN = 1024, /* entries from before what is known are known to be the same */
};

/* Tests only, before there are threads: these guards are off. */
void group_guards_off(unsigned guards);
bool group_guard_is_on(enum group_guard guard);

#endif
