/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handing over to ssh, scp and sftp.
 */
#ifndef CMD_TSH_PROGRAMS_H
#define CMD_TSH_PROGRAMS_H

#include "client/openssh.h"
#include "client/target.h"

/* What we would rather have of ssh, unless the person said otherwise before. */
void programs_add_manners(struct words *w);

/* A connection to a node that other commands may use, too: socket NULL: there is none. Everything is the profile's, and lives as long. */
struct programs_way {
        const struct profile *profile;
        const char *node, *login, *socket;
        bool was_there; /* before this command */
};

/*
 * Adds the options by which ssh reaches one node, that is called `<node>.<cluster>` to it: over the connection that a tsh before
 * has left open, or over a new one that stands already, so that what is wrong with it is told in our words. may_share: the
 * command wants nothing of the connection that others do not.
 */
struct error *programs_add_connection(struct words *w, const struct profile *p, const char *node, const char *login, bool may_share,
                                      struct programs_way *ret) MUST_USE;

/*
 * Becomes the program of the first word, found in PATH, or on a shared connection, and for scp and sftp, waits for it and ends as it did; returns only when
 * that fails; when the connection ended under the command, which ssh would not say: then with the reason; or without an error when the connection
 * that was there before could not be used, and nothing has begun: to be run on one of its own. Says on stderr what it runs when asked
 * to. way may be NULL.
 */
struct error *programs_run(const struct words *w, const struct programs_way *way, bool is_reported) MUST_USE;

#endif
