/* SPDX-License-Identifier: Apache-2.0 */
#include "state/web_session.h"

#include "base/text.h"

const struct state_kind web_session_kind = { "web session", STR_INIT("/web_sessions/"), &cteleport__state__v1__web_session__descriptor };
const struct state_kind web_session_use_kind = { "time of a web session's use", STR_INIT("/web_session_uses/"), NULL };

struct error *web_session_read(struct arena *a, const struct state_record *r, Cteleport__State__V1__WebSession **ret)
{
        return state_read(a, &web_session_kind, r, (ProtobufCMessage **)ret);
}

void web_session_put(struct store_txn *t, const Cteleport__State__V1__WebSession *s)
{
        state_require(t, &web_session_kind, str_of(s->id), 0);
        state_put(t, &web_session_kind, str_of(s->id), &s->base, walltime_of_unix(s->expires));
}

void web_session_delete(struct store_txn *t, struct str id)
{
        state_delete(t, &web_session_kind, id);
        state_delete(t, &web_session_use_kind, id);
}

struct error *web_session_use_read(const struct state_record *r, int64_t *ret_used)
{
        struct error *err = parse_int(r->value, 0, INT64_MAX, "the time", ret_used);

        return err == NULL ? NULL : error_because(error_new(ERROR_DATA_LOSS, "a stored %s cannot be read", web_session_use_kind.name), err);
}

void web_session_use_put(struct store_txn *t, struct str id, int64_t used, int64_t expires)
{
        AUTO(buf) text = BUF_MAX(32);

        buf_printf(&text, "%lld", (long long)used);
        state_put_text(t, &web_session_use_kind, id, buf_str(&text), walltime_of_unix(expires));
}
