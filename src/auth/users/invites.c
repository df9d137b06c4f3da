/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening and accepting (admin_invites.c makes them). Whoever holds the token learns the one-time key with
 * it; what the code proves is that the app has it.
 */
#include "auth/users/invites.h"

#include <stdio.h>
#include <stdlib.h>

#include "api.pb-c.h"
#include "auth/core/caller.h"
#include "auth/users/credentials.h"
#include "auth/users/directory.h"
#include "auth/hosts/hosts.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "login/password.h"
#include "login/totp.h"
#include "net/socket.h"

enum { OPENING_ARENA = 256 * KiB, OTP_MAX = 16, TOKEN_LEN = 32 };

/* One page that is opened, or one form that is sent. */
struct poll {
        struct auth *auth;
        struct rpc_call *call; /* NULL: nobody waits any more */
        struct arena *arena;
        char peer[ADDRESS_TEXT_MAX], source[SOURCE_TEXT_MAX];
        struct buf key, invited; /* where the invite is, and where the user's newest is named */
        void (*found)(struct poll *v);
        const Cteleport__State__V1__Invite *invite; /* in arena */
        struct walltime expires;
        uint64_t revision, invited_revision;
        struct secret password, otp; /* of a form */
        int64_t step;
};

static void opening_free(struct poll *v)
{
        secret_release(&v->password);
        secret_release(&v->otp);
        if (v->invite != NULL)
                wipe(v->invite->totp_key.data, v->invite->totp_key.len);
        buf_release(&v->key);
        buf_release(&v->invited);
        arena_free(v->arena);
        free(v);
}

static void finish(struct poll *v, struct error *err)
{
        if (v->call != NULL)
                rpc_call_finish(v->call, err);
        else
                error_free(err);
        opening_free(v);
}

static void reply(struct poll *v, const ProtobufCMessage *answer)
{
        if (v->call != NULL)
                rpc_call_reply(v->call, answer);
        opening_free(v);
}

/* Never was one, was used, ended, or another followed: nobody is told which. */
static struct error *not_good(void)
{
        return error_hint(error_new(ERROR_NOT_FOUND, "this link is not good, or not any more"),
                          "ask an administrator for a new one: tctl users reset NAME");
}

/* ---- finding ---------------------------------------------------------------------------------------------- */

static struct str user_of(const struct poll *v)
{
        return str_of(v->invite->user);
}

/* The user's newest invite is named by the key it is kept under. */
static void on_invited(void *ctx, const struct store_item *item, struct error *err)
{
        struct poll *v = ctx;

        if (err == NULL && (item == NULL || !str_equal(item->value, buf_str(&v->key)) ||
                            directory_user(v->auth->directory, user_of(v), NULL) == NULL))
                err = not_good();
        if (err != NULL) {
                finish(v, err);
                return;
        }
        v->invited_revision = item->revision;
        v->found(v);
}

static void on_invite(void *ctx, const struct store_item *item, struct error *err)
{
        struct poll *v = ctx;
        ProtobufCMessage *message = NULL;

        if (err == NULL && item == NULL)
                err = not_good();
        if (err == NULL && wire_decode(v->arena, &cteleport__state__v1__invite__descriptor, item->value, &message) != NULL)
                err = error_new(ERROR_DATA_LOSS, "a stored invite cannot be read");
        if (err != NULL) {
                finish(v, err);
                return;
        }
        v->invite = (const Cteleport__State__V1__Invite *)message;
        v->revision = item->revision;
        v->expires = item->expires;
        invited_key(user_of(v), &v->invited);
        store_get(v->auth->store, buf_str(&v->invited), on_invited, v);
}

static void on_gone(void *ctx)
{
        struct poll *v = ctx;

        v->call = NULL;
}

static const struct rpc_call_events call_events = { .on_gone = on_gone };

static bool is_token(struct str s)
{
        for (size_t i = 0; i < s.len; i++)
                if (!char_is_digit(s.ptr[i]) && (s.ptr[i] < 'a' || s.ptr[i] > 'f'))
                        return false;
        return s.len == TOKEN_LEN;
}

static struct poll *opening_begin(struct rpc_call *call, const char *remote_addr, void (*found)(struct poll *v))
{
        const struct caller *caller = rpc_call_caller(call);
        struct poll *v = NEW(struct poll);

        v->auth = caller->auth;
        v->call = call;
        v->arena = arena_new(OPENING_ARENA);
        v->key = v->invited = BUF_MAX(LIMIT_STORE_KEY);
        v->found = found;
        snprintf(v->peer, sizeof v->peer, "%s", remote_addr);
        source_of(str_of(remote_addr), v->source);
        rpc_call_listen(call, &call_events, v);
        return v;
}

static void opening_find(struct poll *v, struct str token)
{
        if (!is_token(token)) {
                finish(v, not_good());
                return;
        }
        invite_key(token, &v->key);
        store_get(v->auth->store, buf_str(&v->key), on_invite, v);
}

/* ---- opening ------------------------------------------------------------------------------------------------ */

static struct str totp_key_of(const struct poll *v)
{
        return str_of_bytes(v->invite->totp_key.data, v->invite->totp_key.len);
}

static void show(struct poll *v)
{
        Cteleport__V1__OpenInviteResponse response = CTELEPORT__V1__OPEN_INVITE_RESPONSE__INIT;
        AUTO(buf) secret = BUF_MAX(256);
        AUTO(buf) url = BUF_MAX(4 * KiB);

        base32_encode(&secret, totp_key_of(v));
        totp_put_url(&url, v->auth->cluster, user_of(v), totp_key_of(v));
        response.user = v->invite->user;
        response.cluster = (char *)(uintptr_t)v->auth->cluster.ptr;
        response.totp_secret = (char *)(uintptr_t)buf_c(&secret);
        response.totp_url = (char *)(uintptr_t)buf_c(&url);
        response.is_reset = v->invite->is_reset;
        response.expires = walltime_unix(v->expires);
        reply(v, &response.base);
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
        struct poll *v = ctx;

        (void)revision;
        error_free(err); /* counted or, meanwhile, changed: wrong it is */
        finish(v, error_hint(error_new(ERROR_INVALID_ARGUMENT, "the one-time code is wrong"),
                             "take the code that the app shows now for this cluster; the clock of the device must be right"));
}

/* Whoever guesses must not go on for ever: the invite ends with the last code that it has. */
static void count_wrong_code(struct poll *v)
{
        struct store_txn *t = store_txn_new(v->auth->store);
        Cteleport__State__V1__Invite invite = *v->invite;

        invite.failures++;
        store_txn_require(t, buf_str(&v->key), v->revision);
        if (invite.failures < LIMIT_INVITE_FAILURES) {
                store_txn_put_message(t, buf_str(&v->key), &invite.base, v->expires);
        } else {
                store_txn_delete(t, buf_str(&v->key));
                log_warn("An invite has ended after too many wrong codes", LOG_STR("user", user_of(v)),
                         LOG_C("remote_addr", v->peer));
        }
        store_txn_commit(t, on_counted, v);
}

/* ---- accepting -------------------------------------------------------------------------------------------------- */

static void on_accepted(void *ctx, uint64_t revision, struct error *err)
{
        struct poll *v = ctx;
        Cteleport__V1__Empty empty = CTELEPORT__V1__EMPTY__INIT;

        (void)revision;
        if (err != NULL && err->code == ERROR_ABORTED) { /* used or replaced at the same time */
                error_free(err);
                err = not_good();
        }
        if (err != NULL) {
                finish(v, err);
                return;
        }
        guard_forgive(&v->auth->guard, user_of(v));
        log_info("User has set a password", LOG_STR("user", user_of(v)), LOG_C("remote_addr", v->peer));
        reply(v, &empty.base);
}

static void audit(struct poll *v, struct store_txn *t, const struct audit_kind *kind)
{
        struct audit_record record = { 0 };

        auth_audit_begin(v->auth, &record, kind);
        audit_str(&record, "user", user_of(v));
        audit_str(&record, "addr.remote", str_of(v->peer));
        audit_account_add(v->auth, ACCOUNT_LOGIN, user_of(v), t, &record);
}

/* The password is there and the invite is gone, or neither. */
static void on_hashed(void *ctx, struct str encoded, struct error *err)
{
        struct poll *v = ctx;
        AUTO(credential) credential = { 0 };
        AUTO(buf) user = BUF_MAX(LIMIT_STORE_KEY);

        if (err != NULL) {
                finish(v, err);
                return;
        }
        if (v->call == NULL) { /* the service may be ending */
                finish(v, error_new(ERROR_CANCELLED, "the user closed the connection"));
                return;
        }
        credential.hash = (struct str){ str_dup(encoded), encoded.len };
        credential.totp_key = secret_of(totp_key_of(v));
        credential.last_step = v->step;
        credential.changed = walltime_unix(loop_wall(&v->auth->loop));
        credential_add_source(&credential, v->source);

        struct store_txn *t = store_txn_new(v->auth->store);
        buf_put(&user, USER_PREFIX);
        buf_put(&user, user_of(v));
        store_txn_require(t, buf_str(&v->key), v->revision);
        store_txn_require(t, buf_str(&v->invited), v->invited_revision);
        store_txn_require(t, buf_str(&user), STORE_ANY);
        store_txn_delete(t, buf_str(&v->key));
        store_txn_delete(t, buf_str(&v->invited));
        credential_put(t, user_of(v), &credential);
        audit(v, t, &audit_user_password_change);
        audit(v, t, &audit_mfa_add);
        store_txn_commit(t, on_accepted, v);
}

static void accept_form(struct poll *v)
{
        struct error *err = password_check_new(secret_str(&v->password), user_of(v));
        uint8_t salt[PASSWORD_SALT_SIZE];

        if (err != NULL) {
                finish(v, err);
                return;
        }
        if (!totp_check(totp_key_of(v), secret_str(&v->otp), loop_wall(&v->auth->loop), 0, &v->step)) {
                count_wrong_code(v);
                return;
        }
        random_bytes(salt, sizeof salt);
        password_hash(v->auth->passwords, str_of(v->source), secret_str(&v->password), salt, on_hashed, v);
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
        struct poll *v = opening_begin(call, q->remote_addr, accept_form);
        v->password = secret_of(str_slice(str_of(q->password), 0, LIMIT_PASSWORD + 1)); /* one more is refused as too long */
        v->otp = secret_of(strlen(q->otp) > OTP_MAX ? STR("") : str_of(q->otp)); /* too long to be right, and never cut */
        wipe(q->password, strlen(q->password));
        opening_find(v, str_of(q->token));
}
