/* SPDX-License-Identifier: Apache-2.0 */
#include "acme/order.h"

#include <stdlib.h>

#include "acme/answer.h"
#include "base/bug.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "loop/loop.h"
#include "net/http_client.h"
#include "pki/cert.h"
#include "pki/cert_request.h"
#include "pki/jws.h"

enum state { DIRECTORY, ACCOUNT, CONTACT, ORDER, AUTHORIZATION, INSTALL, RESPOND, VALIDATE, READY, FINALIZE, ISSUE, DOWNLOAD };

/* The failed step, for errors. */
static const char *const failed_steps[] = {
        [DIRECTORY] = "the directory of the CA cannot be read",
        [ACCOUNT] = "the CA refuses the account",
        [CONTACT] = "the CA refuses the e-mail address of the account",
        [ORDER] = "the CA refuses the order",
        [AUTHORIZATION] = "the CA refuses the authorization",
        [INSTALL] = "the proxy does not take the challenge",
        [RESPOND] = "the CA refuses the response to its challenge",
        [VALIDATE] = "the CA refuses the authorization",
        [READY] = "the CA refuses the order",
        [FINALIZE] = "the CA refuses the request for the certificate",
        [ISSUE] = "the CA does not issue the certificate",
        [DOWNLOAD] = "the CA does not give the certificate",
};

enum { STATUS_OK = 200 };
enum { WANTED_NONCE, WANTED_LOCATION, WANTED_RETRY_AFTER }; /* headers of an answer */

enum {
        CHALLENGE_HOURS = 24,        /* validity of a challenge certificate, which only the validation of the CA reads */
        ARENA_MAX = 4 * MiB,         /* URLs, problems and tokens of one order: a part of each answer */
        REQUEST_MAX = 64 * KiB,
};

struct acme_order {
        struct acme_order_options options;
        struct arena *arena;
        enum state state;
        struct acme_directory directory;
        struct http_call *call;
        bool is_getting_nonce; /* the call is for a nonce, not for the answer of the state */
        char *nonce;           /* for the next request; NULL: none */
        const char *account_url, *order_url, *finalize_url, *certificate_url;
        const char *authorizations[LIMIT_CERT_NAMES];
        size_t authorization_count, at; /* at: the one in progress */
        struct acme_authorization authorization;
        struct key key; /* of the certificate */
        unsigned nonces_refused; /* in a row */
        struct backoff poll;
        struct timer *again, *deadline;
        struct duration pause; /* for which the server asked in a refusal */
        struct error *failure; /* owned; why the call was cancelled */
        struct buf chain;      /* the certificate, PEM */
};

static void order_free(struct acme_order *o)
{
        timer_free(o->again);
        timer_free(o->deadline);
        key_release(&o->key);
        buf_release(&o->chain);
        arena_free(o->arena);
        free(o->nonce);
        free(o);
}

static void finish(struct acme_order *o, struct error *err)
{
        const struct acme_order_options options = o->options;
        AUTO(secret) key_pem = { 0 };

        if (err == NULL)
                err = key_to_pem(&o->key, &key_pem);
        if (err == NULL)
                options.done(options.ctx, (struct acme_pair){ buf_str(&o->chain), secret_str(&key_pem) }, NULL, SECONDS(0));
        else
                options.done(options.ctx, (struct acme_pair){ 0 }, err, o->pause);
        order_free(o);
}

/* ---- requests ------------------------------------------------------------------------------------------- */

static void send_request(struct acme_order *o);

/* The protected header of section 6.2: with the key before there is an account, then with its URL. */
static struct error *put_header(const struct acme_order *o, const char *url, struct buf *out)
{
        buf_put_c(out, "{\"alg\":\"ES256\",");
        if (o->account_url == NULL) {
                buf_put_c(out, "\"jwk\":");
                TRY(jws_put_jwk(o->options.account, out));
        } else {
                buf_put_c(out, "\"kid\":");
                json_put_string(out, str_of(o->account_url));
        }
        buf_printf(out, ",\"nonce\":\"%s\",\"url\":", o->nonce);
        json_put_string(out, str_of(url));
        buf_put_char(out, '}');
        return buf_finish(out, "a request to the CA");
}

/* The URL of the configured e-mail address; "" without one. */
static char *contact_of(const struct acme_order *o)
{
        bool is_set = o->options.email != NULL && o->options.email[0] != '\0';

        return is_set ? mem_printf("mailto:%s", o->options.email) : str_dup(STR(""));
}

static void put_contact(const struct acme_order *o, struct buf *out)
{
        AUTO_MEM char *contact = contact_of(o);

        buf_put_c(out, "\"contact\":[");
        if (contact[0] != '\0')
                json_put_string(out, str_of(contact));
        buf_put_char(out, ']');
}

/* Section 7.3. By enabling ACME the operator agrees to the terms of service, as the documentation says. */
static void put_account(const struct acme_order *o, struct buf *out)
{
        buf_put_c(out, "{\"termsOfServiceAgreed\":true");
        if (o->options.email != NULL && o->options.email[0] != '\0') {
                buf_put_char(out, ',');
                put_contact(o, out);
        }
        buf_put_char(out, '}');
}

/* Section 7.4. */
static void put_order(const struct acme_order *o, struct buf *out)
{
        buf_put_c(out, "{\"identifiers\":[");
        for (size_t i = 0; i < o->options.count; i++) {
                buf_put_c(out, i == 0 ? "{\"type\":\"dns\",\"value\":" : ",{\"type\":\"dns\",\"value\":");
                json_put_string(out, o->options.names[i]);
                buf_put_char(out, '}');
        }
        buf_put_c(out, "]}");
}

static struct error *put_csr(struct acme_order *o, struct buf *out)
{
        AUTO(buf) der = BUF_MAX(CERT_MAX);

        key_release(&o->key); /* of an earlier request that was refused for its nonce */
        TRY(key_generate(&o->key, KEY_ECDSA_P256));
        TRY(x509_request(&o->key, o->options.names, o->options.count, &der));
        buf_put_c(out, "{\"csr\":\"");
        base64url_encode(out, buf_str(&der));
        buf_put_c(out, "\"}");
        return NULL;
}

/* The URL and the payload of the state's request; without a payload it is a POST-as-GET (section 6.3). */
static struct error *put_payload(struct acme_order *o, const char **ret_url, struct buf *out)
{
        switch (o->state) {
        case ACCOUNT:
                *ret_url = o->directory.new_account;
                put_account(o, out);
                break;
        case CONTACT:
                *ret_url = o->account_url;
                buf_put_char(out, '{');
                put_contact(o, out);
                buf_put_char(out, '}');
                break;
        case ORDER:
                *ret_url = o->directory.new_order;
                put_order(o, out);
                break;
        case AUTHORIZATION:
        case VALIDATE:
                *ret_url = o->authorizations[o->at];
                break;
        case RESPOND:
                *ret_url = o->authorization.url;
                buf_put_c(out, "{}"); /* section 7.5.1 */
                break;
        case READY:
        case ISSUE:
                *ret_url = o->order_url;
                break;
        case FINALIZE:
                *ret_url = o->finalize_url;
                TRY(put_csr(o, out));
                break;
        case DOWNLOAD:
                *ret_url = o->certificate_url;
                break;
        default:
                bug("an order in state %d sends nothing", o->state);
        }
        return buf_finish(out, "a request to the CA");
}

static void on_answer(void *ctx, const struct http_answer *answer, struct error *err);

static void start_call(struct acme_order *o, const char *method, const char *url, struct str body)
{
        static const char *const get_headers[] = { "User-Agent: cteleport/" CTELEPORT_VERSION, NULL };
        static const char *const post_headers[] = { "User-Agent: cteleport/" CTELEPORT_VERSION, "Content-Type: application/jose+json", NULL };
        const struct http_request request = {
                .method = method,
                .url = url,
                .headers = str_is_empty(body) ? get_headers : post_headers,
                .body = body,
                .use_proxy = true,
                .connect_within = MILLISECONDS(TIMEOUT_ACME_REQUEST),
                .within = MILLISECONDS(TIMEOUT_ACME_REQUEST),
                .limit = LIMIT_ACME_ANSWER,
                .wanted = { [WANTED_NONCE] = "replay-nonce", [WANTED_LOCATION] = "location", [WANTED_RETRY_AFTER] = "retry-after" },
        };

        o->call = http_call_start(o->options.http, &request, on_answer, o);
}

static struct error *post(struct acme_order *o)
{
        AUTO(buf) header = BUF_MAX(REQUEST_MAX);
        AUTO(buf) payload = BUF_MAX(REQUEST_MAX);
        AUTO(buf) body = BUF_MAX(3 * REQUEST_MAX);
        const char *url;

        TRY(put_payload(o, &url, &payload));
        TRY(put_header(o, url, &header));
        free(o->nonce);
        o->nonce = NULL;
        TRY(jws_sign(o->options.account, buf_str(&header), buf_str(&payload), &body));
        start_call(o, "POST", url, buf_str(&body));
        return NULL;
}

/* Sends the request of the state, or first one for a nonce. */
static void send_request(struct acme_order *o)
{
        struct error *err = NULL;

        o->is_getting_nonce = false;
        if (o->state == DIRECTORY) {
                start_call(o, "GET", o->options.directory, STR(""));
        } else if (o->nonce == NULL) {
                o->is_getting_nonce = true;
                start_call(o, "GET", o->directory.new_nonce, STR(""));
        } else {
                err = post(o);
        }
        if (err != NULL)
                finish(o, err);
}

static void go_to(struct acme_order *o, enum state state)
{
        o->state = state;
        send_request(o);
}

/* Repeats the request of the state, or sends that of another one, after a pause: the server's, or a growing one. */
static void go_later(struct acme_order *o, enum state state, struct duration asked)
{
        struct duration pause = backoff_next(&o->poll);

        o->state = state;
        timer_start(o->again, asked.ns > pause.ns ? asked : pause);
}

static void on_again(void *ctx)
{
        send_request(ctx);
}

/* ---- the challenge -------------------------------------------------------------------------------------- */

/* RFC 8737 section 3: a certificate for the name, with the SHA-256 of the key authorization (RFC 8555 section 8.1). */
static struct error *make_challenge(const struct acme_order *o, struct buf *out_cert_pem, struct secret *ret_key_pem)
{
        const struct walltime now = loop_wall(o->options.loop);
        const struct cert_times times = { walltime_sub(now, HOURS(CHALLENGE_HOURS)), walltime_add(now, HOURS(CHALLENGE_HOURS)) };
        AUTO(buf) authorization = BUF_MAX(REQUEST_MAX);
        AUTO(buf) der = BUF_MAX(CERT_MAX);
        AUTO(key) key = { 0 };
        uint8_t thumbprint[32], digest[32];

        TRY(jws_thumbprint(o->options.account, thumbprint));
        buf_printf(&authorization, "%s.", o->authorization.token);
        base64url_encode(&authorization, str_of_bytes(thumbprint, sizeof thumbprint));
        TRY(buf_finish(&authorization, "a key authorization"));
        sha256(buf_str(&authorization), digest);
        TRY(key_generate(&key, KEY_ECDSA_P256));
        TRY(x509_acme_challenge(&key, o->authorization.name, digest, times, &der));
        TRY(key_to_pem(&key, ret_key_pem));
        cert_der_to_pem(buf_str(&der), out_cert_pem);
        return NULL;
}

static struct error *install(struct acme_order *o)
{
        AUTO(buf) cert_pem = BUF_MAX(CERT_MAX);
        AUTO(secret) key_pem = { 0 };

        TRY(make_challenge(o, &cert_pem, &key_pem));
        o->state = INSTALL;
        o->options.install(o->options.ctx, o->authorization.name, (struct acme_pair){ buf_str(&cert_pem), secret_str(&key_pem) });
        return NULL;
}

void acme_order_installed(struct acme_order *o, struct error *err)
{
        if (o->state != INSTALL)
                bug("a challenge is reported in state %d", o->state);
        if (o->failure != NULL) {
                error_free(err);
                finish(o, o->failure);
        } else if (err != NULL) {
                finish(o, error_wrap(err, "%s", failed_steps[INSTALL]));
        } else {
                go_to(o, RESPOND);
        }
}

/* ---- answers of each state ------------------------------------------------------------------------------- */

static bool is_ordered(const struct acme_order *o, struct str name)
{
        for (size_t i = 0; i < o->options.count; i++)
                if (str_equal_nocase(o->options.names[i], name))
                        return true;
        return false;
}

static struct error *with_name(const struct acme_order *o, struct error *err)
{
        return error_wrap(err, "%.*s", STR_ARG(o->authorization.name));
}

static struct error *next_authorization(struct acme_order *o)
{
        backoff_reset(&o->poll);
        if (++o->at < o->authorization_count)
                go_to(o, AUTHORIZATION);
        else
                go_to(o, READY);
        return NULL;
}

static struct error *on_directory(struct acme_order *o, const struct http_answer *answer)
{
        TRY(acme_read_directory(o->arena, answer->body, &o->directory));
        if (o->directory.needs_external_account) {
                const struct acme_problem problem = { "externalAccountRequired", "" };

                return acme_problem_error(&problem, 0, failed_steps[ACCOUNT]);
        }
        go_to(o, ACCOUNT);
        return NULL;
}

static struct error *take_location(struct acme_order *o, const struct http_answer *answer, const char *what, const char **ret)
{
        if (!acme_is_url(answer->wanted[WANTED_LOCATION]))
                return error_new(ERROR_INVALID_ARGUMENT, "the answer of the CA does not say where the %s is", what);
        *ret = str_to_c(o->arena, answer->wanted[WANTED_LOCATION]);
        return NULL;
}

/*
 * The server answers 200 for the key of an account that it has, and leaves its contact as it was (section 7.3.1). No certificate depends
 * on the contact: if it cannot be read, it stays as it is.
 */
static struct error *on_account(struct acme_order *o, const struct http_answer *answer)
{
        AUTO_MEM char *contact = contact_of(o);
        bool is_same = true;

        TRY(take_location(o, answer, "account", &o->account_url));
        if (answer->status == STATUS_OK) {
                struct error *err = acme_read_account(answer->body, str_of(contact), &is_same);

                if (err != NULL)
                        o->options.warn(o->options.ctx, err);
        }
        go_to(o, is_same ? ORDER : CONTACT);
        return NULL;
}

static struct error *on_order(struct acme_order *o, const struct http_answer *answer)
{
        struct acme_order_document order;

        TRY(take_location(o, answer, "order", &o->order_url));
        TRY(acme_read_order(o->arena, answer->body, &order));
        if (order.finalize == NULL || order.authorization_count == 0)
                return error_new(ERROR_INVALID_ARGUMENT, "the order of the CA has no authorizations, or no 'finalize'");
        o->finalize_url = order.finalize;
        o->authorization_count = order.authorization_count;
        memcpy(o->authorizations, order.authorizations, sizeof o->authorizations);
        go_to(o, AUTHORIZATION);
        return NULL;
}

static struct error *on_authorization(struct acme_order *o, const struct http_answer *answer)
{
        TRY(acme_read_authorization(o->arena, answer->body, &o->authorization));
        if (!is_ordered(o, o->authorization.name))
                return error_new(ERROR_INVALID_ARGUMENT, "an authorization of the CA is for a name that was not ordered");
        if (o->authorization.status == ACME_VALID) /* of an earlier order */
                return next_authorization(o);
        if (o->authorization.status != ACME_PENDING)
                return with_name(o, acme_problem_error(&o->authorization.problem, 0, failed_steps[AUTHORIZATION]));
        if (o->authorization.url == NULL)
                return with_name(o, error_hint(error_new(ERROR_FAILED_PRECONDITION, "the CA does not offer the challenge tls-alpn-01"),
                                               "name another CA in proxy_service.acme.uri, or use https_keypairs"));
        return install(o);
}

static struct error *on_validated(struct acme_order *o, const struct http_answer *answer, struct duration asked)
{
        struct acme_authorization now;

        TRY(acme_read_authorization(o->arena, answer->body, &now));
        if (now.status == ACME_VALID)
                return next_authorization(o);
        if (now.status != ACME_PENDING && now.status != ACME_PROCESSING)
                return with_name(o, acme_problem_error(&now.problem, 0, failed_steps[VALIDATE]));
        go_later(o, VALIDATE, asked);
        return NULL;
}

/* An order in any state: what follows. The request to finalize is sent once, by `may_finalize`. */
static struct error *on_order_status(struct acme_order *o, const struct http_answer *answer, struct duration asked, bool may_finalize)
{
        struct acme_order_document order;

        TRY(acme_read_order(o->arena, answer->body, &order));
        if (order.status == ACME_INVALID)
                return acme_problem_error(&order.problem, 0, failed_steps[o->state]);
        if (order.status == ACME_VALID && !may_finalize) {
                o->certificate_url = order.certificate;
                backoff_reset(&o->poll);
                go_to(o, DOWNLOAD);
        } else if (order.status == ACME_READY && may_finalize) {
                backoff_reset(&o->poll);
                go_to(o, FINALIZE);
        } else if (order.status == ACME_VALID) {
                return error_new(ERROR_INVALID_ARGUMENT, "the order of the CA is valid before it was finalized");
        } else {
                go_later(o, may_finalize ? READY : ISSUE, asked);
        }
        return NULL;
}

static struct error *check_certificate(const struct acme_order *o)
{
        AUTO(secret) key_pem = { 0 };
        struct cert_times times;

        TRY(key_to_pem(&o->key, &key_pem));
        TRY(acme_pair_check((struct acme_pair){ buf_str(&o->chain), secret_str(&key_pem) }, o->options.names, o->options.count, &times));
        if (times.not_after.ns <= loop_wall(o->options.loop).ns)
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "it has expired already"), "check the clock of this machine");
        return NULL;
}

static struct error *on_certificate(struct acme_order *o, const struct http_answer *answer)
{
        buf_put(&o->chain, answer->body);
        TRY(buf_finish(&o->chain, "the certificate of the CA"));
        struct error *err = check_certificate(o);
        if (err != NULL)
                return error_wrap(err, "the certificate of the CA cannot be used");
        finish(o, NULL);
        return NULL;
}

static struct error *handle(struct acme_order *o, const struct http_answer *answer, struct duration asked)
{
        switch (o->state) {
        case DIRECTORY:
                return on_directory(o, answer);
        case ACCOUNT:
                return on_account(o, answer);
        case CONTACT:
                go_to(o, ORDER);
                return NULL;
        case ORDER:
                return on_order(o, answer);
        case AUTHORIZATION:
                return on_authorization(o, answer);
        case RESPOND:
                go_later(o, VALIDATE, asked);
                return NULL;
        case VALIDATE:
                return on_validated(o, answer, asked);
        case READY:
                return on_order_status(o, answer, asked, true);
        case FINALIZE:
        case ISSUE:
                return on_order_status(o, answer, asked, false);
        case DOWNLOAD:
                return on_certificate(o, answer);
        default:
                bug("an answer in state %d", o->state);
        }
}

/* ---- answers in general ------------------------------------------------------------------------------------ */

static void keep_nonce(struct acme_order *o, const struct http_answer *answer)
{
        if (!acme_is_nonce(answer->wanted[WANTED_NONCE]))
                return;
        free(o->nonce);
        o->nonce = str_dup(answer->wanted[WANTED_NONCE]);
}

/* A refusal by the server: a nonce that is too old is replaced (section 6.5), and anything but the refusal of a contact ends the order. */
static struct error *refused(struct acme_order *o, const struct http_answer *answer, struct duration asked)
{
        struct acme_problem problem;

        acme_read_problem(o->arena, answer->body, &problem);
        if (strcmp(problem.type, "badNonce") == 0 && o->nonces_refused++ < LIMIT_ACME_NONCE_TRIES) {
                send_request(o);
                return NULL;
        }
        struct error *err = acme_problem_error(&problem, answer->status, failed_steps[o->state]);
        if (o->state == CONTACT) {
                o->options.warn(o->options.ctx, err);
                go_to(o, ORDER);
                return NULL;
        }
        o->pause = asked;
        return o->state == RESPOND || o->state == VALIDATE ? with_name(o, err) : err;
}

static struct error *take_answer(struct acme_order *o, const struct http_answer *answer)
{
        struct duration asked = acme_retry_after(answer->wanted[WANTED_RETRY_AFTER], loop_wall(o->options.loop));

        keep_nonce(o, answer);
        if (answer->status < 200 || answer->status > 299)
                return refused(o, answer, asked);
        if (o->is_getting_nonce) {
                if (o->nonce == NULL)
                        return error_new(ERROR_INVALID_ARGUMENT, "the CA gives no nonce");
                send_request(o);
                return NULL;
        }
        o->nonces_refused = 0;
        return handle(o, answer, asked);
}

static void on_answer(void *ctx, const struct http_answer *answer, struct error *err)
{
        struct acme_order *o = ctx;

        o->call = NULL;
        if (o->failure != NULL) {
                error_free(err);
                finish(o, o->failure);
                return;
        }
        if (err != NULL)
                err = error_hint(error_wrap(err, "the CA cannot be reached"),
                                 "this machine must reach %s, directly or through HTTPS_PROXY, and trust its certificate", o->options.directory);
        else if (err == NULL)
                err = take_answer(o, answer);
        if (err != NULL)
                finish(o, err);
}

/* Ends the order now, or when what it waits for has ended: on_answer() or acme_order_installed() then report the error. */
static void end_early(struct acme_order *o, struct error *err)
{
        if (o->failure != NULL) {
                error_free(err);
                return;
        }
        if (o->call == NULL && o->state != INSTALL) {
                finish(o, err);
                return;
        }
        o->failure = err;
        if (o->call != NULL)
                http_call_cancel(o->call);
}

static void on_deadline(void *ctx)
{
        struct acme_order *o = ctx;

        end_early(o, error_hint(error_new(ERROR_DEADLINE_EXCEEDED, "%s: no answer in time", failed_steps[o->state]), "the proxy tries again by itself"));
}

/* While the challenge is installed, the answer to that request reports the loss; before and afterwards no challenge is needed. */
void acme_order_proxy_lost(struct acme_order *o)
{
        if (o->state == RESPOND || o->state == VALIDATE)
                end_early(o, error_for(error_new(ERROR_UNAVAILABLE, "%s: the proxy process that showed the challenge has ended", failed_steps[INSTALL]),
                                       REASON_SIBLING));
}

void acme_order_cancel(struct acme_order *o)
{
        end_early(o, error_new(ERROR_CANCELLED, "the order was cancelled"));
}

struct acme_order *acme_order_start(const struct acme_order_options *options)
{
        struct acme_order *o = NEW(struct acme_order);

        *o = (struct acme_order){
                .options = *options,
                .arena = arena_new(ARENA_MAX),
                .poll = { .first = MILLISECONDS(PACE_ACME_POLL_FIRST), .most = MILLISECONDS(PACE_ACME_POLL_MAX) },
                .chain = BUF_MAX(LIMIT_ACME_CERTIFICATE),
        };
        o->again = timer_new(options->loop, on_again, o);
        o->deadline = timer_new(options->loop, on_deadline, o);
        timer_start(o->deadline, options->within);
        send_request(o);
        return o;
}
