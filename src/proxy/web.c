/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web.h"

#include <stdlib.h>

#include "api.pb-c.h"
#include "base/limits.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "net/socket.h"
#include "proxy/form.h"
#include "proxy/web_page.h"
#include "rpc/pb.h"

enum { TOKEN_DIGITS = 32, OTP_MAX = 16, ADDRESS_MAX = LIMIT_NAME + 8, ANSWER_MAX = 16 * KiB, INCOMING_ARENA = 64 * KiB };

/* One request on its way to auth and back. */
struct web_client {
        struct loop *loop;
        struct upstream *upstream;
        void (*done)(void *ctx, struct str answer); /* NULL: cancelled */
        void *ctx;
        struct arena *arena;    /* of what follows, but for the form, which is wiped */
        const char *token, *peer;
        bool is_post;
        struct form form;
        struct web_page page;   /* grows as auth answers */
        struct error *err;      /* the page's own */
        struct buf answer;
};

static void incoming_free(struct web_client *v)
{
        form_release(&v->form);
        error_free(v->err);
        buf_release(&v->answer);
        arena_free(v->arena);
        free(v);
}

/* ---- answering ------------------------------------------------------------------------------------- */

/* What went wrong, as HTTP says it. */
static int status_of(const struct error *err)
{
        switch (err->code) {
        case ERROR_NOT_FOUND:
                return 404;
        case ERROR_UNIMPLEMENTED:
                return 405;
        case ERROR_INVALID_ARGUMENT:
        case ERROR_FAILED_PRECONDITION:
        case ERROR_ALREADY_EXISTS:
        case ERROR_ABORTED:
                return 400;
        case ERROR_PERMISSION_DENIED:
        case ERROR_UNAUTHENTICATED:
                return 403;
        case ERROR_RESOURCE_EXHAUSTED:
                return 429;
        case ERROR_UNAVAILABLE:
        case ERROR_DEADLINE_EXCEEDED:
        case ERROR_CANCELLED:
                return 503;
        default:
                return 500;
        }
}

static void answer(struct web_client *v, void (*put)(struct buf *out, const struct web_page *page))
{
        if (v->done != NULL) {
                put(&v->answer, &v->page);
                v->done(v->ctx, buf_str(&v->answer));
        }
        incoming_free(v);
}

/* err is owned. */
static void answer_error(struct web_client *v, struct error *err, void (*put)(struct buf *out, const struct web_page *page))
{
        v->err = err;
        v->page.error = err;
        v->page.status = err == NULL ? 200 : status_of(err);
        answer(v, put);
}

static void answer_landing(void *ctx)
{
        answer(ctx, web_put_landing);
}

static void answer_trouble(void *ctx)
{
        struct web_client *v = ctx;
        struct error *err = v->err;
        v->err = NULL;
        answer_error(v, err, web_put_trouble);
}

/* ---- asking auth ------------------------------------------------------------------------------------- */

static void send_request(struct web_client *v, const char *path, const ProtobufCMessageDescriptor *response,
                const ProtobufCMessage *request, void (*then)(void *ctx, const ProtobufCMessage *answer, struct error *err))
{
        struct rpc_client *auth = upstream_client(v->upstream);
        if (auth == NULL) {
                then(v, NULL, upstream_absence(v->upstream));
                return;
        }
        rpc_client_unary(auth,
                         (struct rpc_client_call_options){
                                 .path = path, .response = response, .response_max = ANSWER_MAX,
                                 .within = MILLISECONDS(TIMEOUT_RPC) },
                         request, then, v);
}

static void on_accepted(void *ctx, const ProtobufCMessage *msg, struct error *err)
{
        struct web_client *v = ctx;
        (void)msg;
        if (err != NULL)
                answer_error(v, err, web_put_invite);
        else
                answer(v, web_put_welcome);
}

/* As apps show it, "123 456": without its blanks. Longer ones are cut, and wrong then. */
static void take_otp(struct str text, char out[static OTP_MAX])
{
        size_t len = 0;
        for (size_t i = 0; i < text.len && len + 1 < OTP_MAX; i++) {
                if (text.ptr[i] != ' ')
                        out[len++] = text.ptr[i];
        }
        out[len] = '\0';
}

static struct error *check_form(const struct form *form)
{
        struct str password = form_value(form, "password");
        if (str_is_empty(password))
                return error_new(ERROR_INVALID_ARGUMENT, "the password is missing");
        if (!secret_equal(password, form_value(form, "again")))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the two passwords differ"), "type both once more");
        if (str_is_empty(form_value(form, "otp")))
                return error_new(ERROR_INVALID_ARGUMENT, "the code of the app is missing");
        return NULL;
}

static void request_accept(struct web_client *v)
{
        Cteleport__V1__AcceptInviteRequest request = CTELEPORT__V1__ACCEPT_INVITE_REQUEST__INIT;
        char otp[OTP_MAX];
        struct error *err = check_form(&v->form);
        if (err != NULL) {
                answer_error(v, err, web_put_invite);
                return;
        }
        take_otp(form_value(&v->form, "otp"), otp);
        request.token = pb_text(v->token);
        request.password = pb_text(form_value(&v->form, "password").ptr);
        request.otp = otp;
        request.remote_addr = pb_text(v->peer);
        send_request(v, "/cteleport.v1.LoginService/AcceptInvite", &cteleport__v1__empty__descriptor, &request.base, on_accepted);
}

static void take_invite(struct web_client *v, const Cteleport__V1__OpenInviteResponse *invite)
{
        v->page.cluster = arena_str(v->arena, str_of(invite->cluster));
        v->page.user = arena_str(v->arena, str_of(invite->user));
        v->page.secret = arena_str(v->arena, str_of(invite->totp_secret));
        v->page.url = arena_str(v->arena, str_of(invite->totp_url));
        v->page.is_reset = invite->is_reset;
}

static void on_opened(void *ctx, const ProtobufCMessage *msg, struct error *err)
{
        struct web_client *v = ctx;
        if (err != NULL || v->done == NULL) {
                answer_error(v, err, web_put_trouble);
                return;
        }
        take_invite(v, (const Cteleport__V1__OpenInviteResponse *)msg);
        if (v->is_post)
                request_accept(v);
        else
                answer(v, web_put_invite);
}

static void open_invite(void *ctx)
{
        struct web_client *v = ctx;
        Cteleport__V1__OpenInviteRequest request = CTELEPORT__V1__OPEN_INVITE_REQUEST__INIT;
        if (v->done == NULL) {
                incoming_free(v);
                return;
        }
        request.token = pb_text(v->token);
        request.remote_addr = pb_text(v->peer);
        send_request(v, "/cteleport.v1.LoginService/OpenInvite", &cteleport__v1__open_invite_response__descriptor, &request.base,
            on_opened);
}

/* ---- the request ------------------------------------------------------------------------------------- */

bool web_is_page(struct str path)
{
        return str_equal(path, STR("/")) || str_equal(path, STR("/web")) || str_starts_with(path, STR("/web/"));
}

/* The token of "/web/invite/<token>"; "" when the path is another. */
static struct str token_of(struct str path)
{
        static const struct str folders[] = { STR_INIT("/web/invite/"), STR_INIT("/web/reset/") };
        for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
                struct str token = str_slice(path, folders[i].len, path.len);
                if (!str_starts_with(path, folders[i]) || token.len != TOKEN_DIGITS)
                        continue;
                for (size_t at = 0; at < token.len; at++) {
                        if (!char_is_digit(token.ptr[at]) && (token.ptr[at] < 'a' || token.ptr[at] > 'f'))
                                return STR("");
                }
                return token;
        }
        return STR("");
}

/*
 * Browsers say "Origin: null" where no-referrer holds, as on our pages: then Sec-Fetch-Site tells (Fetch Standard, "append a
 * request Origin header"; Fetch Metadata section 2). What is no browser says neither.
 */
static struct error *check_site(const struct http1_request *http)
{
        struct str scheme = STR("https://"), origin = http->origin;
        bool is_foreign = !str_is_empty(http->fetch_site) && !str_equal(http->fetch_site, STR("same-origin"));
        if (!str_is_empty(origin) && !str_equal(origin, STR("null")))
                is_foreign = is_foreign || !str_starts_with(origin, scheme) ||
                             !str_equal_nocase(str_slice(origin, scheme.len, origin.len), http->host);
        if (!is_foreign)
                return NULL;
        return error_hint(error_new(ERROR_PERMISSION_DENIED, "the form was sent from another site"),
                          "open the link that you were given, and fill in the form there");
}

static struct error *take_form(const struct web_request *r, struct form *ret)
{
        struct str parameters = r->http->content_type;
        struct str type = str_trim(str_split(&parameters, ';'));
        if (!str_equal_nocase(type, STR("application/x-www-form-urlencoded")))
                return error_new(ERROR_INVALID_ARGUMENT, "what was sent is no form");
        TRY(check_site(r->http));
        return form_parse(r->body, ret);
}

/* What of the Host field may stand in a command; it is the browser's word, shown to itself only. */
static struct str shown_address(const struct web_request *r)
{
        struct str host = r->http->host;
        if (!str_is_empty(r->facts->public_addr))
                return r->facts->public_addr;
        for (size_t i = 0; i < host.len; i++) {
                if (!char_is_alnum(host.ptr[i]) && strchr(".-:[]", host.ptr[i]) == NULL)
                        return STR("");
        }
        return host.len <= ADDRESS_MAX ? host : STR("");
}

/* How the request goes on, from the loop. */
static struct error *choose(struct web_client *v, const struct web_request *r, void (**ret_next)(void *ctx))
{
        struct str token = token_of(r->http->path);
        bool is_read = v->page.is_head || str_equal(r->http->method, STR("GET"));
        v->is_post = str_equal(r->http->method, STR("POST"));
        if (str_is_empty(token) && str_starts_with(r->http->path, STR("/web/")))
                return error_hint(error_new(ERROR_NOT_FOUND, "there is no such page"), "look at the link again: part of it may be missing");
        if (!is_read && (!v->is_post || str_is_empty(token)))
                return error_new(ERROR_UNIMPLEMENTED, "this page is only to be read");
        if (v->is_post)
                TRY(take_form(r, &v->form));
        v->token = str_to_c(v->arena, token);
        *ret_next = str_is_empty(token) ? answer_landing : open_invite;
        return NULL;
}

struct web_client *web_start(struct loop *l, struct upstream *upstream, struct web_request request,
                            void (*done)(void *ctx, struct str answer), void *ctx)
{
        struct web_client *v = NEW(struct web_client);
        void (*next)(void *ctx) = answer_trouble;
        *v = (struct web_client){
                .loop = l,
                .upstream = upstream,
                .done = done,
                .ctx = ctx,
                .arena = arena_new(INCOMING_ARENA),
                .answer = BUF_MAX(WEB_PAGE_MAX),
        };
        v->peer = arena_str(v->arena, str_of(request.peer)).ptr;
        v->page = (struct web_page){
                .status = 200,
                .is_head = str_equal(request.http->method, STR("HEAD")),
                .cluster = arena_str(v->arena, request.facts->cluster),
                .proxy = arena_str(v->arena, shown_address(&request)),
        };
        v->err = choose(v, &request, &next);
        loop_defer(l, next, v);
        return v;
}

void web_cancel(struct web_client *v)
{
        v->done = NULL;
}
