/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /web_sessions/<ID>: a login in a browser; expires with its certificate.
 * /web_session_uses/<ID>: when it was last used, Unix seconds as text; expires with it.
 */
#ifndef STATE_WEB_SESSION_H
#define STATE_WEB_SESSION_H

#include "state.pb-c.h"
#include "state/state.h"

extern const struct state_kind web_session_kind, web_session_use_kind;

struct error *web_session_read(struct arena *a, const struct state_record *r, Cteleport__State__V1__WebSession **ret) MUST_USE;
void web_session_put(struct store_txn *t, const Cteleport__State__V1__WebSession *s);
/* Removes the session and the time of its use. */
void web_session_delete(struct store_txn *t, struct str id);

/* Unix seconds. DATA_LOSS if the record is not a number. */
struct error *web_session_use_read(const struct state_record *r, int64_t *ret_used) MUST_USE;
void web_session_use_put(struct store_txn *t, struct str id, int64_t used, int64_t expires);

#endif
