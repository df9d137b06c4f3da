/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening and accepting invites (auth/admin creates them). The token of an invite gives access to the TOTP key;
 * the code in the form proves that the authenticator app has the key.
 */
#include "auth/users/invites.h"

#include <stdio.h>
#include <stdlib.h>

#include "api.pb-c.h"
#include "auth/core/caller.h"
#include "auth/users/directory.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "login/password.h"
#include "login/totp.h"
#include "net/socket.h"
#include "rpc/pb.h"
#include "state/credential.h"
#include "state/invite.h"
#include "state/user.h"

enum { OPENING_ARENA = 256 * KiB, OTP_MAX = 16, TOKEN_LEN = 32 };

/* One call: a page that is opened, or a form that is sent. */
struct opening {
        struct auth *auth;
        struct rpc_call *call; /* NULL: the caller is gone */
        struct arena *arena;
        char peer[ADDRESS_TEXT_MAX], source[SOURCE_TEXT_MAX];
        struct buf id; /* ID of the record of the invite */
        void (*found)(struct opening *o);
        const Cteleport__State__V1__Invite *invite; /* in arena */
        struct walltime expires;
        uint64_t revision, newest_revision; /* of the invite; of the entry for the user's newest invite */
        struct secret password, otp; /* from the form */
        int64_t step;
};

static void opening_free(struct opening *o)
{
        secret_release(&o->password);
        secret_release(&o->otp);
        if (o->invite != NULL)
                wipe(o->invite->totp_key.data, o->invite->totp_key.len);
        buf_release(&o->id);
        arena_free(o->arena);
        free(o);
}

static void finish(struct opening *o, struct error *err)
{
        if (o->call != NULL)
                rpc_call_finish(o->call, err);
        else
                error_free(err);
        opening_free(o);
}

static void reply(struct opening *o, const ProtobufCMessage *answer)
{
        if (o->call != NULL)
                rpc_call_reply(o->call, answer);
        opening_free(o);
}

/* One error for an invite that is unknown, used, expired or replaced: the answer does not reveal which. */
static struct error *not_good(void)
{
        return error_hint(error_new(ERROR_NOT_FOUND, "this link is not good, or not any more"),
                          "ask an administrator for a new one: tctl users reset NAME");
}

/* ---- finding the invite ----------------------------------------------------------------------------------- */

static struct str user_of(const struct opening *o)
{
        return str_of(o->invite->user);
}

static void on_newest(void *ctx, struct str id, uint64_t revision, struct error *err)
{
        struct opening *o = ctx;

        if (err == NULL && (!str_equal(id, buf_str(&o->id)) || directory_user(o->auth->directory, user_of(o), NULL) == NULL))
                err = not_good();
        if (err != NULL) {
                finish(o, err);
                return;
        }
        o->newest_revision = revision;
        o->found(o);
}

static void on_invite(void *ctx, const struct state_record *record, struct error *err)
{
        struct opening *o = ctx;
        Cteleport__State__V1__Invite *invite = NULL;

        if (err == NULL && record == NULL)
                err = not_good();
        if (err == NULL)
                err = invite_read(o->arena, record, &invite);
        if (err != NULL) {
                finish(o, err);
                return;
        }
        o->invite = invite;
        o->revision = record->revision;
        o->expires = record->expires;
        invite_newest_get(o->auth->store, user_of(o), on_newest, o);
}

static void on_gone(void *ctx)
{
        struct opening *o = ctx;

        o->call = NULL;
}

static const struct rpc_call_events call_events = { .on_gone = on_gone };

static bool is_token(struct str s)
{
        for (size_t i = 0; i < s.len; i++)
                if (!char_is_digit(s.ptr[i]) && (s.ptr[i] < 'a' || s.ptr[i] > 'f'))
                        return false;
        return s.len == TOKEN_LEN;
}

static struct opening *opening_begin(struct rpc_call *call, const char *remote_addr, void (*found)(struct opening *o))
{
        const struct caller *caller = rpc_call_caller(call);
        struct opening *o = NEW(struct opening);

        o->auth = caller->auth;
        o->call = call;
        o->arena = arena_new(OPENING_ARENA);
        o->id = BUF_MAX(LIMIT_STORE_KEY);
        o->found = found;
        snprintf(o->peer, sizeof o->peer, "%s", remote_addr);
        source_of(str_of(remote_addr), o->source);
        rpc_call_listen(call, &call_events, o);
        return o;
}

static void opening_find(struct opening *o, struct str token)
{
        if (!is_token(token)) {
                finish(o, not_good());
                return;
        }
        invite_put_id(token, &o->id);
        state_get(o->auth->store, &invite_kind, buf_str(&o->id), on_invite, o);
}

/* ---- opening ------------------------------------------------------------------------------------------------ */

static struct str totp_key_of(const struct opening *o)
{
        return pb_str(o->invite->totp_key);
}

static void show(struct opening *o)
{
        Cteleport__V1__OpenInviteResponse response = CTELEPORT__V1__OPEN_INVITE_RESPONSE__INIT;
        AUTO(buf) secret = BUF_MAX(256);
        AUTO(buf) url = BUF_MAX(4 * KiB);

        base32_encode(&secret, totp_key_of(o));
        totp_put_url(&url, o->auth->cluster, user_of(o), totp_key_of(o));
        response.user = o->invite->user;
        response.cluster = pb_text(o->auth->cluster.ptr);
        response.totp_secret = pb_text(buf_c(&secret));
        response.totp_url = pb_text(buf_c(&url));
        response.is_reset = o->invite->is_reset;
        response.expires = walltime_unix(o->expires);
        reply(o, &response.base);
        wipe(secret.ptr, secret.len);
        wipe(url.ptr, url.len);
}

void invite_open(struct rpc_call *call, const ProtobufCMessage *first)
{
        const Cteleport__V1__OpenInviteRequest *q = (const Cteleport__V1__OpenInviteRequest *)first;

        struct error *err = client_addr_check(q->remote_addr);
        if (err != NULL)
                rpc_call_finish(call, err);
        else
                opening_find(opening_begin(call, q->remote_addr, show), str_of(q->token));
}

/* ---- a wrong code --------------------------------------------------------------------------------------------- */

static void on_counted(void *ctx, uint64_t revision, struct error *err)
{
        struct opening *o = ctx;

        (void)revision;
        error_free(err); /* even if the count was not stored, the code is wrong */
        finish(o, error_hint(error_new(ERROR_INVALID_ARGUMENT, "the one-time code is wrong"),
                             "use the code that the app shows now for this cluster; the clock of the device must be correct"));
}

/* Limits guesses: after LIMIT_INVITE_FAILURES wrong codes the invite is deleted. */
static void count_wrong_code(struct opening *o)
{
        struct store_txn *t = store_txn_new(o->auth->store);
        Cteleport__State__V1__Invite invite = *o->invite;

        invite.failures++;
        state_require(t, &invite_kind, buf_str(&o->id), o->revision);
        if (invite.failures < LIMIT_INVITE_FAILURES) {
                state_put(t, &invite_kind, buf_str(&o->id), &invite.base, o->expires);
        } else {
                state_delete(t, &invite_kind, buf_str(&o->id));
                log_warn("An invite has ended after too many wrong codes", LOG_STR("user", user_of(o)),
                         LOG_C("remote_addr", o->peer));
        }
        store_txn_commit(t, on_counted, o);
}

/* ---- accepting -------------------------------------------------------------------------------------------------- */

static void on_accepted(void *ctx, uint64_t revision, struct error *err)
{
        struct opening *o = ctx;
        Cteleport__V1__Empty empty = CTELEPORT__V1__EMPTY__INIT;

        (void)revision;
        if (err != NULL && err->code == ERROR_ABORTED) { /* another call has used or replaced the invite */
                error_free(err);
                err = not_good();
        }
        if (err != NULL) {
                finish(o, err);
                return;
        }
        guard_reset_user(&o->auth->guard, user_of(o));
        log_info("User has set a password", LOG_STR("user", user_of(o)), LOG_C("remote_addr", o->peer));
        reply(o, &empty.base);
}

static void audit(struct opening *o, struct store_txn *t, const struct audit_kind *kind)
{
        struct audit_record record = { 0 };

        auth_audit_begin(o->auth, &record, kind);
        audit_str(&record, "user", user_of(o));
        audit_str(&record, "addr.remote", str_of(o->peer));
        audit_account_add(o->auth, ACCOUNT_LOGIN, user_of(o), t, &record);
}

/* One transaction stores the password and deletes the invite. */
static void on_hashed(void *ctx, struct str encoded, struct error *err)
{
        struct opening *o = ctx;
        AUTO(credential) credential = { 0 };

        if (err != NULL) {
                finish(o, err);
                return;
        }
        if (o->call == NULL) { /* the service may be ending */
                finish(o, error_new(ERROR_CANCELLED, "the user closed the connection"));
                return;
        }
        credential.hash = (struct str){ str_dup(encoded), encoded.len };
        credential.totp_key = secret_of(totp_key_of(o));
        credential.last_step = o->step;
        credential.changed = walltime_unix(loop_wall(&o->auth->loop));
        credential_add_source(&credential, o->source);

        struct store_txn *t = store_txn_new(o->auth->store);
        state_require(t, &invite_kind, buf_str(&o->id), o->revision);
        invite_newest_require(t, user_of(o), o->newest_revision);
        state_require(t, &user_kind, user_of(o), STORE_ANY);
        state_delete(t, &invite_kind, buf_str(&o->id));
        invite_newest_delete(t, user_of(o));
        credential_put(t, user_of(o), &credential);
        audit(o, t, &audit_user_password_change);
        audit(o, t, &audit_mfa_add);
        store_txn_commit(t, on_accepted, o);
}

static void accept_form(struct opening *o)
{
        struct error *err = password_check_new(secret_str(&o->password), user_of(o));
        uint8_t salt[PASSWORD_SALT_SIZE];

        if (err != NULL) {
                finish(o, err);
                return;
        }
        if (!totp_check(totp_key_of(o), secret_str(&o->otp), loop_wall(&o->auth->loop), 0, &o->step)) {
                count_wrong_code(o);
                return;
        }
        random_bytes(salt, sizeof salt);
        password_hash(o->auth->passwords, str_of(o->source), secret_str(&o->password), salt, on_hashed, o);
}

void invite_accept(struct rpc_call *call, const ProtobufCMessage *first)
{
        const Cteleport__V1__AcceptInviteRequest *q = (const Cteleport__V1__AcceptInviteRequest *)first;
        struct error *err = client_addr_check(q->remote_addr);

        if (err != NULL) {
                wipe(q->password, strlen(q->password));
                rpc_call_finish(call, err);
                return;
        }
        struct opening *o = opening_begin(call, q->remote_addr, accept_form);
        o->password = secret_of(str_slice(str_of(q->password), 0, LIMIT_PASSWORD + 1)); /* + 1: still too long */
        o->otp = secret_of(strlen(q->otp) > OTP_MAX ? STR("") : str_of(q->otp)); /* a longer code is wrong: it is not truncated */
        wipe(q->password, strlen(q->password));
        opening_find(o, str_of(q->token));
}
