/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /servers/<host ID>: the public names and keys of a Proxy Service, valid as long as its newest certificate.
 * /servers/<host ID>/web: the keys that it serves HTTPS with, without names, as long.
 */
#ifndef STATE_SERVER_H
#define STATE_SERVER_H

#include "state.pb-c.h"
#include "state/state.h"

extern const struct state_kind server_kind;

struct error *server_read(struct arena *a, const struct state_record *r, Cteleport__State__V1__Server **ret) MUST_USE;

/* The ID of the record with the web keys of a host; that of its names and keys is the host ID. */
void server_put_web_id(struct str host_id, struct buf *out);

#endif
