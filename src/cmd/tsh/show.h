/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block that tells who is logged in where.
 */
#ifndef CMD_TSH_SHOW_H
#define CMD_TSH_SHOW_H

#include "base/buf.h"
#include "client/client.h"

/* "> Profile URL: …" and so on, an empty line behind; profiles that are not current are indented. */
void show_profile(struct buf *out, const struct profile *p, struct walltime now, bool is_current);

#endif
