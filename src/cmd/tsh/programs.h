/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handing over to ssh, scp and sftp.
 */
#ifndef CMD_TSH_PROGRAMS_H
#define CMD_TSH_PROGRAMS_H

#include "client/openssh.h"

/* What we would rather have of ssh, unless the person said otherwise before. */
void programs_add_manners(struct words *w);

/* Becomes the program of the first word, found in PATH; returns only when that fails. Says on stderr what it runs when asked to. */
struct error *programs_become(const struct words *w, bool is_told) MUST_USE;

#endif
