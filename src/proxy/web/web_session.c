/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web/web_session.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"
#include "loop/loop.h"
#include "pki/cert.h"
#include "pki/cert_check.h"
#include "pki/key.h"
#include "pki/seal.h"
#include "proxy/proxy.h"
#include "proxy/user_client.h"
#include "proxy/web/cookie.h"
#include "rpc/pb.h"
#include "web.pb-c.h"

enum { PROOF_SIZE = 32, ANSWER_MAX = 64 * KiB };

struct web_session {
        struct loop *loop;
        struct web_session_cache *cache; /* NULL: it was forgotten */
        struct web_session *newer, *older; /* by last use */
        size_t references; /* of users; the cache has none */
        struct arena *arena;
        struct cert_info cert; /* texts in the arena */
        char id[WEB_SESSION_ID_LEN + 1];
        uint8_t check[PROOF_SIZE], csrf[PROOF_SIZE]; /* derived from the secret */
        struct user_client *client;
};

struct web_session_cache {
        struct proxy *proxy;
        struct map by_id;
        struct web_session *newest, *oldest;
        size_t count, clients; /* clients: those that are not freed completely */
        struct creation *creations; /* that wait for auth */
        bool is_shut;
};

/* ---- sessions in memory -------------------------------------------------------------------------------------- */

static void session_free(struct web_session *s)
{
        wipe(s->check, sizeof s->check);
        wipe(s->csrf, sizeof s->csrf);
        arena_free(s->arena);
        free(s);
}

void web_session_release(struct web_session *s)
{
        if (s != NULL && --s->references == 0 && s->cache == NULL)
                session_free(s);
}

static void unlink_session(struct web_session *s)
{
        struct web_session_cache *c = s->cache;

        *(s->newer != NULL ? &s->newer->older : &c->newest) = s->older;
        *(s->older != NULL ? &s->older->newer : &c->oldest) = s->newer;
        s->newer = s->older = NULL;
}

static void link_as_newest(struct web_session *s)
{
        struct web_session_cache *c = s->cache;

        s->older = c->newest;
        if (c->newest != NULL)
                c->newest->newer = s;
        else
                c->oldest = s;
        c->newest = s;
}

void web_session_forget(struct web_session *s)
{
        struct web_session_cache *c = s->cache;

        if (c == NULL)
                return;
        unlink_session(s);
        map_remove(&c->by_id, str_of(s->id));
        c->count--;
        s->cache = NULL;
        user_client_free(s->client); /* wipes the key */
        s->client = NULL;
        if (s->references == 0)
                session_free(s);
}

static void on_client_freed(void *ctx)
{
        struct web_session_cache *c = ctx;

        c->clients--;
        if (c->is_shut && c->clients == 0)
                proxy_is_empty(c->proxy);
}

struct web_session_cache *web_session_cache_new(struct proxy *p)
{
        struct web_session_cache *c = NEW(struct web_session_cache);

        c->proxy = p;
        return c;
}

struct proxy *web_session_cache_proxy(const struct web_session_cache *c)
{
        return c->proxy;
}

void web_session_cache_shut(struct web_session_cache *c)
{
        if (c == NULL)
                return;
        c->is_shut = true;
        while (c->newest != NULL)
                web_session_forget(c->newest);
}

bool web_session_cache_is_empty(const struct web_session_cache *c)
{
        return c == NULL || c->clients == 0;
}

void web_session_cache_free(struct web_session_cache *c)
{
        if (c == NULL)
                return;
        map_release(&c->by_id);
        free(c);
}

/* ---- reading a session ----------------------------------------------------------------------------------------- */

static struct error *no_session(void)
{
        return error_hint(error_for(error_new(ERROR_UNAUTHENTICATED, "you are not logged in, or this login has ended"), REASON_IDENTITY), "log in again");
}

/* A request for a session, until it is answered. */
struct opening {
        struct web_session_cache *cache;
        char id[WEB_SESSION_ID_LEN + 1];
        struct secret secret;
        struct web_session *session; /* NULL: it is read from auth */
        struct error *err;
        void (*done)(void *ctx, struct web_session *s, struct error *err);
        void *ctx;
};

/* session: a reference for the receiver. err is owned. */
static void opening_end(struct opening *o, struct web_session *session, struct error *err)
{
        o->done(o->ctx, session, err);
        secret_release(&o->secret);
        free(o);
}

/* The session in memory, if the secret is right; as the newest. *ret is set, to a reference, only then. */
static struct error *find(struct web_session_cache *c, struct str id, struct str secret, struct web_session **ret)
{
        struct web_session *s = map_get(&c->by_id, id);
        uint8_t check[PROOF_SIZE];

        if (s != NULL && loop_wall(&c->proxy->loop).ns >= s->cert.times.not_after.ns) {
                web_session_forget(s);
                return no_session();
        }
        if (s == NULL)
                return NULL;
        key_derive(secret, "cteleport web session check", check);
        if (!secret_equal(str_of_bytes(check, sizeof check), str_of_bytes(s->check, sizeof s->check)))
                return no_session();
        unlink_session(s);
        link_as_newest(s);
        s->references++;
        *ret = s;
        return NULL;
}

/* The key must belong to the certificate, and the certificate to this session: auth may be wrong, too. */
static struct error *check_session(const struct web_session *s, struct str cert, struct str key_pem, struct str user)
{
        struct key key = { 0 };

        TRY(key_from_pem(&key, key_pem));
        struct error *err = cert_check_key(cert, &key);
        key_release(&key);
        if (err == NULL && (!s->cert.is_user || !str_equal(s->cert.web_session, str_of(s->id)) || !str_equal(s->cert.common_name, user)))
                err = error_new(ERROR_UNAUTHENTICATED, "the certificate is not that of the session");
        return err;
}

static struct error *make_session(struct opening *o, const Cteleport__V1__GetWebSessionResponse *answer, struct web_session **ret)
{
        struct web_session_cache *c = o->cache;
        AUTO(secret) key = { 0 };
        struct str cert = pb_str(answer->tls_cert);

        TRY(unseal(secret_str(&o->secret), str_of(o->id), pb_str(answer->sealed_key), &key));
        struct web_session *s = NEW(struct web_session);
        *s = (struct web_session){ .loop = &c->proxy->loop, .arena = arena_new(CERT_READ_ARENA), .references = 1 };
        memcpy(s->id, o->id, sizeof s->id);
        struct error *err = cert_read(s->arena, cert, &s->cert);
        if (err == NULL)
                err = check_session(s, cert, secret_str(&key), str_of(answer->user));
        if (err != NULL) {
                session_free(s);
                return err;
        }
        key_derive(secret_str(&o->secret), "cteleport web session check", s->check);
        key_derive(secret_str(&o->secret), "cteleport web session form", s->csrf);
        s->client = user_client_new(c->proxy, secret_str(&key), cert, on_client_freed, c);
        c->clients++;
        while (c->count >= LIMIT_WEB_SESSIONS_PROXY)
                web_session_forget(c->oldest);
        s->cache = c;
        map_put(&c->by_id, str_of(s->id), s);
        c->count++;
        link_as_newest(s);
        *ret = s;
        return NULL;
}

static void on_read(void *ctx, const ProtobufCMessage *msg, struct error *err)
{
        struct opening *o = ctx;
        struct web_session *s = NULL;

        if (err == NULL && o->cache->is_shut)
                err = error_new(ERROR_CANCELLED, "the proxy is stopping");
        if (err == NULL)
                err = find(o->cache, str_of(o->id), secret_str(&o->secret), &s); /* another request may have read it meanwhile */
        if (err == NULL && s == NULL)
                err = make_session(o, (const Cteleport__V1__GetWebSessionResponse *)msg, &s);
        if (err != NULL && (err->code == ERROR_NOT_FOUND || err->code == ERROR_UNAUTHENTICATED || err->code == ERROR_INVALID_ARGUMENT))
                err = error_because(no_session(), err);
        opening_end(o, s, err);
}

static void send_request(struct web_session_cache *c, const char *path, const ProtobufCMessageDescriptor *response, const ProtobufCMessage *request,
                         void (*done)(void *ctx, const ProtobufCMessage *answer, struct error *err), void *ctx)
{
        upstream_unary(c->proxy->upstream,
                       (struct rpc_client_call_options){ .path = path, .response = response, .response_max = ANSWER_MAX, .within = MILLISECONDS(TIMEOUT_RPC) },
                       request, done, ctx);
}

static void on_opening(void *ctx)
{
        struct opening *o = ctx;
        Cteleport__V1__GetWebSessionRequest request = CTELEPORT__V1__GET_WEB_SESSION_REQUEST__INIT;

        if (o->err != NULL || o->session != NULL) {
                opening_end(o, o->session, o->err);
                return;
        }
        request.id = o->id;
        send_request(o->cache, "/cteleport.v1.Web/GetWebSession", &cteleport__v1__get_web_session_response__descriptor, &request.base, on_read, o);
}

void web_session_open(struct web_session_cache *c, struct str cookie, void (*done)(void *ctx, struct web_session *s, struct error *err), void *ctx)
{
        struct opening *o = NEW(struct opening);
        struct str id, secret;

        *o = (struct opening){ .cache = c, .done = done, .ctx = ctx };
        if (!session_cookie_split(cookie, &id, &secret)) {
                o->err = no_session();
        } else {
                memcpy(o->id, id.ptr, id.len);
                o->secret = secret_of(secret);
                o->err = find(c, id, secret, &o->session);
        }
        loop_defer(&c->proxy->loop, on_opening, o);
}

/* ---- a login ----------------------------------------------------------------------------------------------------- */

/* A form that waits for its login. */
struct waiter {
        struct waiter *next;
        void (*done)(void *ctx, struct str cookie, struct error *err);
        void *ctx;
};

/* A login that waits for auth, perhaps for several forms that are the same. */
struct creation {
        struct creation *next; /* of the cache */
        struct web_session_cache *cache;
        struct secret cookie;
        uint8_t form[PROOF_SIZE]; /* digest of the browser's token and what the user has entered */
        struct waiter *waiters;
};

static void creation_add(struct creation *n, void (*done)(void *ctx, struct str cookie, struct error *err), void *ctx)
{
        struct waiter *w = NEW(struct waiter);

        *w = (struct waiter){ .next = n->waiters, .done = done, .ctx = ctx };
        n->waiters = w;
}

/* err is owned. */
static void creation_end(struct creation *n, struct error *err)
{
        struct creation **at = &n->cache->creations;

        while (*at != n)
                at = &(*at)->next;
        *at = n->next;
        while (n->waiters != NULL) {
                struct waiter *w = n->waiters;

                n->waiters = w->next;
                w->done(w->ctx, err == NULL ? secret_str(&n->cookie) : STR(""), error_copy(err));
                free(w);
        }
        error_free(err);
        secret_release(&n->cookie);
        free(n);
}

static void on_created(void *ctx, const ProtobufCMessage *msg, struct error *err)
{
        (void)msg;
        creation_end(ctx, err);
}

static void digest_form(const struct web_login *login, uint8_t digest[PROOF_SIZE])
{
        const struct str parts[] = { login->form_token, login->user, login->password, login->otp };
        uint8_t each[ARRAY_LEN(parts) * PROOF_SIZE];

        for (size_t i = 0; i < ARRAY_LEN(parts); i++)
                sha256(parts[i], each + i * PROOF_SIZE);
        sha256(str_of_bytes(each, sizeof each), digest);
        wipe(each, sizeof each);
}

/* The login of the same form; NULL: there is none. */
static struct creation *find_creation(struct web_session_cache *c, const uint8_t form[PROOF_SIZE])
{
        struct creation *n = c->creations;

        while (n != NULL && !secret_equal(str_of_bytes(n->form, PROOF_SIZE), str_of_bytes(form, PROOF_SIZE)))
                n = n->next;
        return n;
}

struct secret web_session_new_cookie(void)
{
        uint8_t id[WEB_SESSION_ID_LEN / 2], secret[COOKIE_SECRET_LEN / 2];
        AUTO(buf) text = BUF_MAX(256);

        random_bytes(id, sizeof id);
        random_bytes(secret, sizeof secret);
        hex_encode(&text, str_of_bytes(id, sizeof id));
        buf_put_char(&text, '.');
        hex_encode(&text, str_of_bytes(secret, sizeof secret));
        struct secret made = secret_of(buf_str(&text));
        wipe(secret, sizeof secret);
        wipe(text.ptr, text.len);
        return made;
}

struct error *web_session_new_key(struct str id, struct str secret, struct buf *public_key, struct buf *sealed)
{
        struct key key = { 0 };
        AUTO(secret) pem = { 0 };
        struct error *err = key_generate(&key, KEY_ECDSA_P256);

        if (err == NULL)
                err = key_public_der(&key, public_key);
        if (err == NULL)
                err = key_to_pem(&key, &pem);
        if (err == NULL)
                err = seal(secret, id, secret_str(&pem), sealed);
        key_release(&key);
        return err;
}

static void send_login(struct creation *n, const struct web_login *login)
{
        Cteleport__V1__CreateWebSessionRequest request = CTELEPORT__V1__CREATE_WEB_SESSION_REQUEST__INIT;
        AUTO(buf) public_key = BUF_MAX(2 * KiB);
        AUTO(buf) sealed = BUF_MAX(2 * KiB);
        char id_text[WEB_SESSION_ID_LEN + 1] = { 0 }, agent[LIMIT_WEB_USER_AGENT + 1];
        struct str id, secret;

        (void)session_cookie_split(secret_str(&n->cookie), &id, &secret);
        memcpy(id_text, id.ptr, id.len);
        snprintf(agent, sizeof agent, "%.*s", STR_ARG(login->user_agent));
        for (char *at = agent; *at != '\0'; at++)
                if (*at < ' ' || *at > '~')
                        *at = '?';
        struct error *err = web_session_new_key(id, secret, &public_key, &sealed);
        if (err != NULL) {
                creation_end(n, err);
                return;
        }
        request.user = pb_text(login->user.ptr);
        request.password = pb_text(login->password.ptr);
        request.otp = pb_text(login->otp.ptr);
        request.id = id_text;
        request.public_key = pb_bytes(buf_str(&public_key));
        request.sealed_key = pb_bytes(buf_str(&sealed));
        request.remote_addr = pb_text(login->client_addr);
        request.user_agent = agent;
        send_request(n->cache, "/cteleport.v1.Web/CreateWebSession", &cteleport__v1__create_web_session_response__descriptor, &request.base, on_created, n);
}

void web_session_create(struct web_session_cache *c, const struct web_login *login, void (*done)(void *ctx, struct str cookie, struct error *err), void *ctx)
{
        uint8_t form[PROOF_SIZE];

        digest_form(login, form);
        struct creation *n = find_creation(c, form);
        bool is_new = n == NULL;
        if (is_new) {
                n = NEW(struct creation);
                *n = (struct creation){ .next = c->creations, .cache = c, .cookie = web_session_new_cookie() };
                memcpy(n->form, form, sizeof n->form);
                c->creations = n;
        }
        creation_add(n, done, ctx);
        if (is_new)
                send_login(n, login);
}

/* ---- the fields of a session --------------------------------------------------------------------------------------- */

struct str web_session_id(const struct web_session *s)
{
        return str_of(s->id);
}

struct str web_session_user(const struct web_session *s)
{
        return s->cert.common_name;
}

const struct str *web_session_logins(const struct web_session *s, size_t *ret_count)
{
        *ret_count = s->cert.login_count;
        return s->cert.logins;
}

const struct str *web_session_roles(const struct web_session *s, size_t *ret_count)
{
        *ret_count = s->cert.role_count;
        return s->cert.roles;
}

int64_t web_session_expires(const struct web_session *s)
{
        return walltime_unix(s->cert.times.not_after);
}

void web_session_put_csrf(const struct web_session *s, struct buf *out)
{
        hex_encode(out, str_of_bytes(s->csrf, sizeof s->csrf));
}

bool web_session_has_csrf(const struct web_session *s, struct str token)
{
        AUTO(buf) right = BUF_MAX(128);

        web_session_put_csrf(s, &right);
        return secret_equal(token, buf_str(&right));
}

/* The answer for a session that was forgotten while its page waited. */
struct lost {
        void (*done)(void *ctx, struct rpc_client *client, struct error *err);
        void *ctx;
};

static void on_lost(void *ctx)
{
        struct lost *l = ctx;

        l->done(l->ctx, NULL, error_hint(error_new(ERROR_UNAVAILABLE, "this proxy serves too many logins at once"), "try again"));
        free(l);
}

void web_session_request_client(struct web_session *s, const char *client_addr, void (*done)(void *ctx, struct rpc_client *client, struct error *err),
                                void *ctx)
{
        if (s->client != NULL) {
                user_client_request(s->client, client_addr, done, ctx);
                return;
        }
        struct lost *l = NEW(struct lost);
        *l = (struct lost){ done, ctx };
        loop_defer(s->loop, on_lost, l);
}
