/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "api.pb-c.h"
#include "auth/admin/request.h"
#include "auth/users/directory.h"
#include "auth/users/invites.h"
#include "auth/hosts/proxies.h"
#include "auth/web/web_sessions.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "login/totp.h"
#include "net/socket.h"
#include "pki/key.h"
#include "rpc/pb.h"
#include "state/credential.h"
#include "state/invite.h"
#include "state/user.h"

enum { TOKEN_BYTES = 16 };

/* The invite that is being made, in the arena of the request. */
struct making {
        struct str user, token, id;
        int64_t seconds;
        bool is_reset;
};

/* ---- the address of the link ---------------------------------------------------------------------------- */

/* The address of the proxy on this machine: its first public_addr, or the name of this host. NULL: no proxy here. */
static const char *own_proxy(const struct auth *a, struct arena *arena)
{
        const Cteleport__Internal__V1__Boot *boot = a->service->boot;
        const Cteleport__V1__ProxyConfig *proxy = boot->config->proxy_service;
        struct str host;
        int port = 0;

        if (!service_is_here(boot, "proxy"))
                return NULL;
        if (proxy != NULL && proxy->n_public_addr > 0)
                return proxy->public_addr[0];
        AUTO_PTR(error) err = address_split(str_of(service_listen_addr(boot, "proxy")), 3080, &host, &port);
        return arena_printf(arena, "%s:%d", boot->nodename, err == NULL ? port : 3080);
}

static void reply(struct admin_request *q)
{
        const struct making *m = q->state;
        const char *proxy_addr = own_proxy(q->auth, q->arena);
        Cteleport__V1__CreateInviteResponse response = CTELEPORT__V1__CREATE_INVITE_RESPONSE__INIT;

        if (proxy_addr == NULL)
                proxy_addr = proxies_public_addr(q->auth->proxies, q->arena).ptr;
        response.token = pb_text(m->token.ptr);
        response.proxy_addr = pb_text(proxy_addr);
        response.ttl_seconds = m->seconds;
        admin_reply(q, &response.base);
}

/* ---- making the invite ----------------------------------------------------------------------------------- */

static void on_written(void *ctx, uint64_t revision, struct error *err)
{
        struct admin_request *q = ctx;
        struct making *m = q->state;

        (void)revision;
        if (err != NULL && err->code == ERROR_ABORTED) {
                error_free(err);
                err = m->is_reset ? error_hint(error_new(ERROR_ABORTED, "the user was changed by another user meanwhile"), "try again")
                                  : error_hint(error_new(ERROR_FAILED_PRECONDITION, "the user has a password, or was changed meanwhile"),
                                               "`tctl users reset %.*s` ends it and makes a new link", STR_ARG(m->user));
        }
        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        reply(q);
}

static void audit(struct admin_request *q, struct store_txn *t)
{
        const struct making *m = q->state;
        struct audit_record record = { 0 };
        AUTO(buf) ttl = BUF_MAX(64);

        duration_put(&ttl, SECONDS(m->seconds));
        auth_audit_begin(q->auth, &record, &audit_reset_password_token_create);
        audit_str(&record, "user", buf_str(&q->caller));
        audit_str(&record, "name", m->user);
        audit_str(&record, "ttl", buf_str(&ttl));
        audit_bool(&record, "is_reset", m->is_reset);
        audit_account_add(q->auth, ACCOUNT_ADMIN, buf_str(&q->caller), t, &record);
}

/* older: ID of the user's current invite, which is replaced; "" with revision 0 if there is none. */
static void write_invite(struct admin_request *q, struct str older, uint64_t older_revision)
{
        const struct making *m = q->state;
        struct store_txn *t = store_txn_new(q->auth->store);
        Cteleport__State__V1__Invite invite = CTELEPORT__STATE__V1__INVITE__INIT;
        uint8_t key[TOTP_KEY_SIZE];
        const struct walltime now = loop_wall(&q->auth->loop), expires = walltime_add(now, SECONDS(m->seconds));

        random_bytes(key, sizeof key);
        invite.user = pb_text(m->user.ptr);
        invite.totp_key = (ProtobufCBinaryData){ sizeof key, key };
        invite.is_reset = m->is_reset;
        invite.created = walltime_unix(now);
        state_require(t, &user_kind, m->user, STORE_ANY);
        invite_newest_require(t, m->user, older_revision);
        if (!m->is_reset)
                state_require(t, &credential_kind, m->user, 0);
        if (older_revision != 0)
                state_delete(t, &invite_kind, older);
        credentials_delete(t, m->user);
        /* logins in browsers end with the password */
        web_sessions_delete(q->auth->web_sessions, t, m->user, (struct web_session_end){ "password reset", buf_str(&q->caller) });
        state_put(t, &invite_kind, m->id, &invite.base, expires);
        invite_newest_put(t, m->user, m->id, expires);
        wipe(key, sizeof key);
        audit(q, t);
        store_txn_commit(t, on_written, q);
}

static void on_newest(void *ctx, struct str id, uint64_t revision, struct error *err)
{
        struct admin_request *q = ctx;

        if (err == NULL)
                err = admin_check_waited_for(q);
        if (err != NULL)
                admin_fail(q, err);
        else
                write_invite(q, id, revision);
}

static struct error *take_ttl(const Cteleport__V1__CreateInviteRequest *r, int64_t *ret)
{
        int64_t usual = r->is_reset ? LIMIT_RESET_SECONDS_DEFAULT : LIMIT_INVITE_SECONDS_DEFAULT;
        int64_t most = r->is_reset ? LIMIT_RESET_SECONDS : LIMIT_INVITE_SECONDS;

        if (r->ttl_seconds < 0 || r->ttl_seconds > most)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the link cannot be good for so long"),
                                  "--ttl may be up to %lldh", (long long)most / 3600);
        *ret = r->ttl_seconds == 0 ? usual : r->ttl_seconds;
        return NULL;
}

static struct error *begin(struct admin_request *q)
{
        const Cteleport__V1__CreateInviteRequest *r = (const Cteleport__V1__CreateInviteRequest *)q->message;
        struct making *m = arena_alloc(q->arena, sizeof *m);
        AUTO(buf) token = BUF_MAX(2 * TOKEN_BYTES + 1);
        AUTO(buf) id = BUF_MAX(LIMIT_STORE_KEY);
        uint8_t bytes[TOKEN_BYTES];

        q->state = m;
        m->user = str_of(r->user);
        m->is_reset = r->is_reset;
        TRY(take_ttl(r, &m->seconds));
        if (!name_is_user(m->user) || directory_user(q->auth->directory, m->user, NULL) == NULL) {
                AUTO_MEM char *shown = escaped(m->user);

                return error_hint(error_new(ERROR_NOT_FOUND, "user \"%s\" is not found", shown), "`tctl users ls` lists the users");
        }
        random_bytes(bytes, sizeof bytes);
        hex_encode(&token, str_of_bytes(bytes, sizeof bytes));
        m->token = arena_str(q->arena, buf_str(&token));
        invite_put_id(m->token, &id);
        m->id = arena_str(q->arena, buf_str(&id));
        return NULL;
}

void admin_create_invite(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct admin_request *q = admin_begin(call, first);

        if (q == NULL)
                return;
        struct error *err = begin(q);

        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        invite_newest_get(q->auth->store, ((const struct making *)q->state)->user, on_newest, q);
}
