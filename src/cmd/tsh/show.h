/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text block about a login: proxy, user, cluster, roles, expiry.
 */
#ifndef CMD_TSH_SHOW_H
#define CMD_TSH_SHOW_H

#include "base/buf.h"
#include "client/client.h"

/* "> Profile URL: …" and so on, followed by an empty line; profiles that are not current are indented. */
void show_profile(struct buf *out, const struct profile *p, struct walltime now, bool is_current);

#endif
