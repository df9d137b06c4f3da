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

/*
 * Adds the options by which ssh reaches one node, that is called `<node>.<cluster>` to it: over the connection that a tsh before
 * has left open, or over a new one that stands already, so that what is wrong with it is told in our words. may_share: the
 * command wants nothing of the connection that others do not.
 */
struct error *programs_add_connection(struct words *w, const struct profile *p, const char *node, const char *login, bool may_share) MUST_USE;

/* Becomes the program of the first word, found in PATH; returns only when that fails. Says on stderr what it runs when asked to. */
struct error *programs_become(const struct words *w, bool is_told) MUST_USE;

#endif
