/* SPDX-License-Identifier: Apache-2.0 */
#define CURL_DISABLE_TYPECHECK 1 /* curl's type checks wrap functions that are called through a table here */
#include "net/http_client.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/text.h"
#include "loop/loop.h"
#include "net/address.h"
#include "net/curl_api.h"
#include "net/http_proxy.h"
#include "net/lookup.h"

/* A socket of libcurl, from socket(2) to close(2). */
struct peer {
        struct peer *next;
        int fd;
        bool is_watched; /* libcurl waits for events of it; a socket that is not watched is idle */
        bool is_ended;   /* we have shut it down: no request leaves on it */
};

struct http_client {
        struct loop *loop;
        const struct curl_api *curl; /* NULL until the first call */
        CURLM *multi;
        struct timer *timer;
        char *ca_bundle;
        char *ca_pem;
        size_t ca_pem_len;
        unsigned keep;
        struct peer *peers;
        struct lookups *lookups; /* used instead of libcurl's resolver, which blocks the loop when a lookup is cancelled */
};

/* libcurl's request for events of a socket. */
struct watch {
        uv_poll_t poll;
        struct http_client *client;
        int fd;
};

/* Whether the peer has ended a TLS connection with close_notify. Shared by the connection and its call. */
struct tls_end {
        unsigned refs;
        bool is_notified;
};

struct http_call {
        struct http_client *client; /* NULL once finished */
        struct loop *loop;
        CURL *easy;
        struct curl_slist *headers, *connect_to, *resolve;
        struct lookup *lookup; /* set until the call is added to libcurl */
        struct instant started;
        char *target;          /* host name to resolve; NULL: the URL has an address */
        int target_port;
        unsigned requests;     /* sent */
        unsigned framing;      /* bits: the framing headers that the answer's head contained */
        struct tls_end *end;   /* of the connection that carries the answer; NULL without TLS */
        bool has_status;       /* the status line was received */
        bool is_head_whole;    /* the blank line after the head was received */
        bool is_ambiguous;     /* a framing header was received twice */
        bool is_encoded;       /* the transfer encoding is another one than chunked */
        char *host; /* "https://sts.amazonaws.com", escaped, for messages */
        struct duration connect_within, within;
        char *wanted_name[HTTP_WANTED_MAX];
        char *wanted[HTTP_WANTED_MAX];
        size_t received, limit;
        bool is_over_limit;
        struct buf body;
        int status;
        struct error *err;
        char curl_text[CURL_ERROR_SIZE];
        void (*done)(void *ctx, const struct http_answer *answer, struct error *err);
        void *ctx;
};

/* ---- end of TLS: libcurl takes a connection that was cut for one that has ended -------------------------- */

static void tls_end_unref(struct tls_end *end)
{
        if (end != NULL && --end->refs == 0)
                free(end);
}

static void on_ssl_freed(void *parent UNUSED, void *end, CRYPTO_EX_DATA *data UNUSED, int index UNUSED, long arg UNUSED,
                         void *ctx UNUSED)
{
        tls_end_unref(end);
}

static int tls_end_index(void)
{
        static int index = -1;

        if (index < 0)
                index = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_ssl_freed);
        return index;
}

static void on_tls_event(const SSL *ssl, int where, int ret)
{
        struct tls_end *end = SSL_get_ex_data(ssl, tls_end_index());

        if (end == NULL && (where & SSL_CB_HANDSHAKE_START) != 0) {
                end = NEW(struct tls_end);
                end->refs = 1;
                if (SSL_set_ex_data((SSL *)(uintptr_t)ssl, tls_end_index(), end) != 1)
                        bug("out of memory in OpenSSL");
        }
        if (end != NULL && where == SSL_CB_READ_ALERT && (ret & 0xff) == SSL_AD_CLOSE_NOTIFY)
                end->is_notified = true;
}

/* Finds the TLS connection of a call that has begun to receive. */
static void find_tls_end(struct http_call *call)
{
        struct curl_tlssessioninfo *tls = NULL;

        tls_end_unref(call->end);
        call->end = NULL;
        call->client->curl->easy_getinfo(call->easy, CURLINFO_TLS_SSL_PTR, &tls);
        if (tls == NULL || tls->backend != CURLSSLBACKEND_OPENSSL || tls->internals == NULL)
                return;
        call->end = SSL_get_ex_data(tls->internals, tls_end_index());
        if (call->end != NULL)
                call->end->refs++;
}

/* ---- the end of a call ------------------------------------------------------------------------------ */

static void call_free(struct http_call *call)
{
        for (size_t i = 0; i < HTTP_WANTED_MAX; i++) {
                free(call->wanted_name[i]);
                free(call->wanted[i]);
        }
        wipe(call->body.ptr, call->body.len);
        buf_release(&call->body);
        tls_end_unref(call->end);
        free(call->target);
        free(call->host);
        free(call);
}

static void deliver(void *ctx)
{
        struct http_call *call = ctx;
        struct http_answer answer = { .status = call->status, .body = buf_str(&call->body) };

        for (size_t i = 0; i < HTTP_WANTED_MAX; i++)
                answer.wanted[i] = str_of(call->wanted[i]);
        call->done(call->ctx, call->err == NULL ? &answer : NULL, call->err);
        call_free(call);
}

/* Wipes the list: header lines hold keys and tokens. */
static void wipe_list(const struct curl_api *curl, struct curl_slist *list)
{
        for (struct curl_slist *at = list; at != NULL; at = at->next)
                wipe(at->data, strlen(at->data));
        curl->slist_free_all(list);
}

/* Removes the call from libcurl; the answer or the error is reported from the loop. */
static void finish(struct http_call *call, struct error *err)
{
        struct http_client *c = call->client;

        lookup_cancel(call->lookup);
        call->lookup = NULL;
        if (err != NULL && err->code == ERROR_UNAVAILABLE && call->target != NULL)
                lookups_forget(c->lookups, str_of(call->target)); /* the host may have a new address */
        if (call->easy != NULL) {
                c->curl->multi_remove_handle(c->multi, call->easy);
                c->curl->easy_cleanup(call->easy);
                wipe_list(c->curl, call->headers);
                wipe_list(c->curl, call->connect_to);
                wipe_list(c->curl, call->resolve);
                call->easy = NULL;
        }
        call->client = NULL;
        call->err = err;
        loop_defer(call->loop, deliver, call);
}

static struct error *call_error(struct http_call *call, CURLcode code)
{
        const struct curl_api *curl = call->client->curl;
        curl_off_t connected = 0;
        AUTO_MEM char *sent =
                escaped(str_of(call->curl_text[0] != '\0' ? call->curl_text : curl->easy_strerror(code)));

        curl->easy_getinfo(call->easy, CURLINFO_CONNECT_TIME_T, &connected);
        switch (code) {
        case CURLE_OPERATION_TIMEDOUT:
                if (connected > 0)
                        return error_new(ERROR_DEADLINE_EXCEEDED, "%s did not answer in time", call->host);
                return error_new(ERROR_UNAVAILABLE, "no connection to %s within %d ms", call->host,
                                 (int)duration_ms(call->connect_within));
        case CURLE_COULDNT_RESOLVE_HOST:
        case CURLE_COULDNT_RESOLVE_PROXY:
        case CURLE_COULDNT_CONNECT:
                return error_new(ERROR_UNAVAILABLE, "no connection to %s: %s", call->host, sent);
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_ISSUER_ERROR:
                return error_hint(error_new(ERROR_PERMISSION_DENIED, "the certificate of %s is refused: %s", call->host,
                                            sent),
                                  "if a proxy of yours stands in between, put its CA into AWS_CA_BUNDLE");
        case CURLE_SSL_CACERT_BADFILE:
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "no CA certificates to check %s with: %s",
                                            call->host, sent),
                                  "install ca-certificates, or correct AWS_CA_BUNDLE");
        case CURLE_WRITE_ERROR:
                if (call->is_over_limit)
                        return error_new(ERROR_RESOURCE_EXHAUSTED, "%s answered more than %zu bytes", call->host,
                                         call->limit);
                if (call->is_ambiguous)
                        return error_new(ERROR_INTERNAL, "%s answers with the length or the type of its answer given twice", call->host);
                if (call->is_encoded)
                        return error_new(ERROR_INTERNAL, "%s answers in an encoding that was not requested", call->host);
                break;
        case CURLE_ABORTED_BY_CALLBACK:
                return error_new(ERROR_UNAVAILABLE, "the connection to %s broke: the peer had closed it while it was idle", call->host);
        case CURLE_WEIRD_SERVER_REPLY:
        case CURLE_UNSUPPORTED_PROTOCOL:
        case CURLE_BAD_CONTENT_ENCODING:
                return error_new(ERROR_INTERNAL, "%s answers something that is not HTTP/1.1: %s", call->host, sent);
        case CURLE_URL_MALFORMAT:
                return error_new(ERROR_INVALID_ARGUMENT, "%s is not a usable URL: %s", call->host, sent);
        default:
                break;
        }
        return error_new(ERROR_UNAVAILABLE, "the connection to %s broke: %s", call->host, sent);
}

/* The framing of an answer, as bits of call->framing. */
enum { FRAMED_BY_LENGTH = 1 << 0, FRAMED_BY_CHUNKS = 1 << 1 };

/* Whether the end of the answer was received. libcurl has checked lengths and chunks. */
static bool is_whole(const struct http_call *call)
{
        bool has_body = call->status != 204 && call->status != 304;

        if (!call->is_head_whole)
                return false;
        return !has_body || (call->framing & (FRAMED_BY_LENGTH | FRAMED_BY_CHUNKS)) != 0 || call->end == NULL || call->end->is_notified;
}

static void take_finished(struct http_client *c)
{
        CURLMsg *msg;
        int left;

        while ((msg = c->curl->multi_info_read(c->multi, &left)) != NULL) {
                CURLcode code = msg->data.result;
                struct http_call *call = NULL;
                long status = 0;

                c->curl->easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&call);
                c->curl->easy_getinfo(msg->easy_handle, CURLINFO_RESPONSE_CODE, &status);
                call->status = (int)status;
                if (code == CURLE_OK && !is_whole(call))
                        code = CURLE_PARTIAL_FILE;
                finish(call, code == CURLE_OK ? NULL : call_error(call, code));
        }
}

/* ---- libcurl and the loop --------------------------------------------------------------------------- */

/*
 * A peer that sends bytes without a request is not trusted with the next request: its bytes would be
 * taken for the answer. Ends such connections (and those the peer has ended) before libcurl may choose one.
 */
static void end_unsolicited_connections(struct http_client *c)
{
        for (struct peer *p = c->peers; p != NULL; p = p->next) {
                struct pollfd waiting = { .fd = p->fd, .events = POLLIN };

                if (!p->is_watched && !p->is_ended && poll(&waiting, 1, 0) > 0) {
                        shutdown(p->fd, SHUT_RDWR);
                        p->is_ended = true;
                }
        }
}

static void act(struct http_client *c, curl_socket_t fd, int events)
{
        int running;

        end_unsolicited_connections(c);
        c->curl->multi_socket_action(c->multi, fd, events, &running);
        take_finished(c);
}

static void on_timer(void *ctx)
{
        act(ctx, CURL_SOCKET_TIMEOUT, 0);
}

static int wants_timer(CURLM *multi, long ms, void *ctx)
{
        struct http_client *c = ctx;

        (void)multi;
        if (ms < 0)
                timer_stop(c->timer);
        else
                timer_start(c->timer, MILLISECONDS(ms));
        return 0;
}

static void on_socket(uv_poll_t *poll, int status, int events)
{
        struct watch *w = CONTAINER_OF(poll, struct watch, poll);
        int flags = status < 0 ? CURL_CSELECT_ERR : 0;

        if (events & UV_READABLE)
                flags |= CURL_CSELECT_IN;
        if (events & UV_WRITABLE)
                flags |= CURL_CSELECT_OUT;
        act(w->client, w->fd, flags);
}

static void on_watch_closed(uv_handle_t *handle)
{
        free(CONTAINER_OF((uv_poll_t *)handle, struct watch, poll));
}

static void set_watched(struct http_client *c, int fd, bool is_watched)
{
        for (struct peer *p = c->peers; p != NULL; p = p->next)
                if (p->fd == fd)
                        p->is_watched = is_watched;
}

static int wants_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *assigned)
{
        struct http_client *c = ctx;
        struct watch *w = assigned;

        (void)easy;
        set_watched(c, fd, what != CURL_POLL_REMOVE);
        if (what == CURL_POLL_REMOVE) {
                if (w != NULL) {
                        uv_close((uv_handle_t *)&w->poll, on_watch_closed);
                        c->curl->multi_assign(c->multi, fd, NULL);
                }
                return 0;
        }
        if (w == NULL) {
                w = NEW(struct watch);
                w->client = c;
                w->fd = fd;
                if (uv_poll_init(&c->loop->uv, &w->poll, fd) != 0) {
                        free(w);
                        return -1;
                }
                c->curl->multi_assign(c->multi, fd, w);
        }
        int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
        return uv_poll_start(&w->poll, events, on_socket) == 0 ? 0 : -1;
}

static void forget_peer(struct http_client *c, int fd)
{
        for (struct peer **at = &c->peers; *at != NULL; at = &(*at)->next) {
                if ((*at)->fd == fd) {
                        struct peer *p = *at;
                        *at = p->next;
                        free(p);
                        break;
                }
        }
}

static curl_socket_t opens_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
        struct http_client *c = ctx;
        int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);

        (void)purpose;
        if (fd >= 0) {
                struct peer *p = NEW(struct peer);

                forget_peer(c, fd); /* libcurl closes some sockets without a callback: removes a stale entry */
                *p = (struct peer){ c->peers, fd, true, false };
                c->peers = p;
        }
        return fd;
}

static int closes_socket(void *ctx, curl_socket_t fd)
{
        forget_peer(ctx, fd);
        return close(fd);
}

/* ---- input of a call -------------------------------------------------------------------------------- */

static bool fits(struct http_call *call, size_t len)
{
        if (len > call->limit - call->received) {
                call->is_over_limit = true;
                return false;
        }
        call->received += len;
        return true;
}

/* A header that frames the answer or names its encoding may come once: parsers disagree on which of two is valid. */
static bool is_ambiguous(struct http_call *call, struct str name)
{
        static const char *const framing[] = { "content-length", "transfer-encoding", "content-type", "content-encoding" }; /* the bits, in order */
        const unsigned both = FRAMED_BY_LENGTH | FRAMED_BY_CHUNKS;

        for (unsigned i = 0; i < ARRAY_LEN(framing); i++) {
                unsigned bit = 1U << i;

                if (!str_equal_nocase(name, str_of(framing[i])))
                        continue;
                call->is_ambiguous |= (call->framing & bit) != 0;
                call->framing |= bit;
                call->is_ambiguous |= (call->framing & both) == both;
        }
        return call->is_ambiguous;
}

/* Chunked is the only transfer encoding that HTTP/1.1 allows without a request for it. */
static bool is_encoded(struct http_call *call, struct str name, struct str value)
{
        call->is_encoded |= str_equal_nocase(name, STR("transfer-encoding")) && !str_equal_nocase(str_trim(value), STR("chunked"));
        return call->is_encoded;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *ctx)
{
        struct http_call *call = ctx;
        struct str value = { bytes, size * count };
        struct str name;

        if (!fits(call, size * count))
                return 0;
        if (call->body.len > 0) /* trailers (RFC 9112 section 7.1.2) do not frame the answer */
                return size * count;
        bool is_in_head = call->has_status && !call->is_head_whole;
        if (str_starts_with(value, STR("HTTP/")) && !is_in_head) { /* a new head: the headers of an interim answer are void */
                for (size_t i = 0; i < HTTP_WANTED_MAX; i++) {
                        free(call->wanted[i]);
                        call->wanted[i] = NULL;
                }
                call->framing = 0;
                call->has_status = true;
                call->is_head_whole = false;
                find_tls_end(call);
                return size * count;
        }
        if (str_is_empty(str_trim(value)))
                call->is_head_whole = true;
        name = str_split(&value, ':');
        if (is_ambiguous(call, name) || is_encoded(call, name, value))
                return 0;
        for (size_t i = 0; i < HTTP_WANTED_MAX; i++)
                if (call->wanted_name[i] != NULL && call->wanted[i] == NULL &&
                    str_equal_nocase(name, str_of(call->wanted_name[i])))
                        call->wanted[i] = str_dup(str_trim(value));
        return size * count;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *ctx)
{
        struct http_call *call = ctx;

        if (!fits(call, size * count))
                return 0;
        buf_put(&call->body, (struct str){ bytes, size * count });
        return size * count;
}

/* ---- starting --------------------------------------------------------------------------------------- */

static struct error *client_begin(struct http_client *c)
{
        if (c->curl != NULL)
                return NULL;
        TRY(curl_api_load(&c->curl));
        c->multi = c->curl->multi_init();
        if (c->multi == NULL)
                bug("out of memory in libcurl");
        c->timer = timer_new(c->loop, on_timer, c);
        c->curl->multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, wants_socket);
        c->curl->multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
        c->curl->multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, wants_timer);
        c->curl->multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
        c->curl->multi_setopt(c->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
        c->curl->multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, c->keep == 0 ? 1L : (long)c->keep);
        return NULL;
}

/* The subject's common name is not accepted: libcurl uses it if there is no alternative name (RFC 9525 section 6.3). */
static bool has_alternative_name(X509 *cert)
{
        GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
        bool found = false;

        for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
                int type = sk_GENERAL_NAME_value(names, i)->type;

                found |= type == GEN_DNS || type == GEN_IPADD;
        }
        GENERAL_NAMES_free(names);
        return found;
}

static int on_verify(int is_fine, X509_STORE_CTX *store)
{
        if (is_fine != 1 || X509_STORE_CTX_get_error_depth(store) != 0 || has_alternative_name(X509_STORE_CTX_get_current_cert(store)))
                return is_fine;
        X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH);
        return 0;
}

/* libcurl is built with OpenSSL, so the context is an SSL_CTX. */
static CURLcode prepare_tls(CURL *easy, void *context, void *ctx)
{
        (void)easy;
        (void)ctx;
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, on_verify);
        SSL_CTX_set_info_callback(context, on_tls_event);
        return CURLE_OK;
}

/* Whether libcurl has chosen a connection that end_unsolicited_connections() has ended: libcurl detects it and chooses another. */
static bool is_on_ended_connection(const struct http_client *c, int from_port)
{
        for (const struct peer *p = c->peers; p != NULL; p = p->next) {
                union {
                        struct sockaddr any;
                        struct sockaddr_in v4;
                        struct sockaddr_in6 v6;
                } own = { 0 };
                socklen_t len = sizeof own;

                if (p->is_ended && getsockname(p->fd, &own.any, &len) == 0 &&
                    ntohs(own.any.sa_family == AF_INET6 ? own.v6.sin6_port : own.v4.sin_port) == from_port)
                        return true;
        }
        return false;
}

/* Runs before each request. libcurl would repeat a request when a reused connection has died; the repetition is refused. */
static int before_request(void *ctx, char *to, char *from, int to_port, int from_port)
{
        struct http_call *call = ctx;

        (void)to;
        (void)from;
        (void)to_port;
        if (is_on_ended_connection(call->client, from_port))
                return CURL_PREREQFUNC_OK;
        return call->requests++ == 0 ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

/* Sets the rules for TLS, redirects and protocols; the same for every call. */
static void set_safety(const struct http_client *c, CURL *easy, const struct http_request *r)
{
        const struct curl_api *curl = c->curl;

        curl->easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        curl->easy_setopt(easy, CURLOPT_PROTOCOLS_STR, r->allow_http ? "http,https" : "https");
        curl->easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
        curl->easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
        curl->easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
        curl->easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
        curl->easy_setopt(easy, CURLOPT_PROXY_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
        curl->easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
        curl->easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
        curl->easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
        curl->easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
        curl->easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
        if (!r->use_proxy)
                curl->easy_setopt(easy, CURLOPT_PROXY, "");
        if (c->ca_pem_len > 0) {
                struct curl_blob blob = { .data = c->ca_pem, .len = c->ca_pem_len, .flags = CURL_BLOB_NOCOPY };

                curl->easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
                curl->easy_setopt(easy, CURLOPT_CAPATH, NULL);
                curl->easy_setopt(easy, CURLOPT_PROXY_CAINFO_BLOB, &blob);
                curl->easy_setopt(easy, CURLOPT_PROXY_CAPATH, NULL);
        } else if (c->ca_bundle != NULL) {
                curl->easy_setopt(easy, CURLOPT_CAINFO, c->ca_bundle);
                curl->easy_setopt(easy, CURLOPT_CAPATH, NULL);
                curl->easy_setopt(easy, CURLOPT_PROXY_CAINFO, c->ca_bundle);
                curl->easy_setopt(easy, CURLOPT_PROXY_CAPATH, NULL);
        } else if (curl->version_info(CURLVERSION_NOW)->cainfo != NULL) {
                /* With a bundle only, libcurl reads the CAs once; with a directory too, it reads them for each connection. */
                curl->easy_setopt(easy, CURLOPT_CAPATH, NULL);
        }
        curl->easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, prepare_tls);
        if (c->keep == 0 || r->is_fresh)
                curl->easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
        if (c->keep == 0)
                curl->easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
}

static void set_request(struct http_call *call, const struct http_request *r)
{
        const struct curl_api *curl = call->client->curl;
        bool has_body = strcmp(r->method, "GET") != 0;

        for (size_t i = 0; r->headers != NULL && r->headers[i] != NULL; i++)
                call->headers = curl->slist_append(call->headers, r->headers[i]);
        call->headers = curl->slist_append(call->headers, "Expect:");
        if (strcmp(r->method, "PUT") == 0) /* libcurl would send the content type of a form */
                call->headers = curl->slist_append(call->headers, "Content-Type:");
        curl->easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
        curl->easy_setopt(call->easy, CURLOPT_USERAGENT, "cteleport/" CTELEPORT_VERSION);
        curl->easy_setopt(call->easy, CURLOPT_URL, r->url);
        if (has_body) {
                curl->easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.len);
                curl->easy_setopt(call->easy, CURLOPT_COPYPOSTFIELDS, r->body.len > 0 ? r->body.ptr : "");
                curl->easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, r->method);
        }
        if (r->connect_to != NULL) {
                AUTO_MEM char *rule = mem_printf("::%s", r->connect_to); /* for any host and any port */

                call->connect_to = curl->slist_append(NULL, rule);
                curl->easy_setopt(call->easy, CURLOPT_CONNECT_TO, call->connect_to);
        }
}

static void set_callbacks(struct http_call *call)
{
        const struct curl_api *curl = call->client->curl;

        curl->easy_setopt(call->easy, CURLOPT_PRIVATE, call);
        curl->easy_setopt(call->easy, CURLOPT_ERRORBUFFER, call->curl_text);
        curl->easy_setopt(call->easy, CURLOPT_HEADERFUNCTION, on_header);
        curl->easy_setopt(call->easy, CURLOPT_HEADERDATA, call);
        curl->easy_setopt(call->easy, CURLOPT_WRITEFUNCTION, on_body);
        curl->easy_setopt(call->easy, CURLOPT_WRITEDATA, call);
        curl->easy_setopt(call->easy, CURLOPT_PREREQFUNCTION, before_request);
        curl->easy_setopt(call->easy, CURLOPT_PREREQDATA, call);
        curl->easy_setopt(call->easy, CURLOPT_OPENSOCKETFUNCTION, opens_socket);
        curl->easy_setopt(call->easy, CURLOPT_OPENSOCKETDATA, call->client);
        curl->easy_setopt(call->easy, CURLOPT_CLOSESOCKETFUNCTION, closes_socket);
        curl->easy_setopt(call->easy, CURLOPT_CLOSESOCKETDATA, call->client);
}

/* "https://host:port" of a URL, escaped. */
static char *origin_of(struct str url)
{
        for (size_t i = str_starts_with(url, STR("https://")) ? 8 : 7; i < url.len; i++)
                if (url.ptr[i] == '/' || url.ptr[i] == '?' || url.ptr[i] == '#')
                        return escaped(str_slice(url, 0, i));
        return escaped(url);
}

/* "host:port" of a URL with a valid beginning; the port may be missing. */
static struct str authority_of(struct str url)
{
        struct str rest = str_slice(url, str_starts_with(url, STR("https://")) ? 8 : 7, url.len);

        for (size_t i = 0; i < rest.len; i++)
                if (rest.ptr[i] == '/' || rest.ptr[i] == '?' || rest.ptr[i] == '#')
                        return str_slice(rest, 0, i);
        return rest;
}

/*
 * The host to resolve for the call: its HTTP proxy, its connect_to address, or the host of the URL. Unparsable
 * values are left to libcurl.
 */
static void find_target(struct http_call *call, const struct http_request *r)
{
        bool is_https = str_starts_with(str_of(r->url), STR("https://"));
        struct str text = r->connect_to != NULL ? str_of(r->connect_to) : authority_of(str_of(r->url));
        struct http_proxy proxy;
        struct sock_address literal;
        struct str host;
        int port;
        AUTO_PTR(error) err = address_split(text, is_https ? 443 : 80, &host, &port);

        if (err == NULL && r->use_proxy && is_https) {
                err = http_proxy_of_environment(host, port, &proxy);
                if (err == NULL && proxy.address[0] != '\0')
                        err = address_split(str_of(proxy.address), -1, &host, &port);
        }
        if (err != NULL || sock_address_of_literal(host, port, &literal))
                return;
        call->target = str_dup(host);
        call->target_port = port;
}

/* Resolves the host, then starts the call in libcurl. */
static void connect_call(struct http_call *call)
{
        struct http_client *c = call->client;
        struct duration spent = instant_since(loop_now(c->loop), call->started);
        int64_t connect = duration_ms(call->connect_within) - duration_ms(spent), all = duration_ms(call->within) - duration_ms(spent);

        c->curl->easy_setopt(call->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(connect > 0 ? connect : 1));
        c->curl->easy_setopt(call->easy, CURLOPT_TIMEOUT_MS, (long)(all > 0 ? all : 1));
        if (c->curl->multi_add_handle(c->multi, call->easy) != CURLM_OK)
                bug("libcurl refuses a request");
}

static void on_looked_up(void *ctx, struct str addresses, struct error *err)
{
        struct http_call *call = ctx;

        call->lookup = NULL;
        if (err != NULL) {
                finish(call, error_wrap(err, "no connection to %s", call->host));
                return;
        }
        AUTO_MEM char *entry = mem_printf("%s:%d:%.*s", call->target, call->target_port, STR_ARG(addresses));
        call->resolve = call->client->curl->slist_append(NULL, entry);
        call->client->curl->easy_setopt(call->easy, CURLOPT_RESOLVE, call->resolve);
        connect_call(call);
}

static struct error *call_begin(struct http_call *call, const struct http_request *r)
{
        struct http_client *c = call->client;
        struct str url = str_of(r->url);

        if (!str_starts_with(url, STR("https://")) && !(r->allow_http && str_starts_with(url, STR("http://"))))
                return error_new(ERROR_INVALID_ARGUMENT, "'%s' does not begin with %s", call->host,
                                 r->allow_http ? "http:// or https://" : "https://");
        TRY(client_begin(c));
        call->easy = c->curl->easy_init();
        if (call->easy == NULL)
                bug("out of memory in libcurl");
        set_safety(c, call->easy, r);
        set_request(call, r);
        set_callbacks(call);
        /* All memory is reserved at once: growing would leave copies of secrets behind. */
        if (buf_extend(&call->body, call->limit) == NULL)
                bug("a body without a ceiling");
        buf_clear(&call->body);
        find_target(call, r);
        if (call->target == NULL)
                connect_call(call);
        else
                call->lookup = lookup_start(c->lookups, str_of(call->target), call->connect_within, on_looked_up, call);
        return NULL;
}

struct http_call *http_call_start(struct http_client *c, const struct http_request *request,
                                  void (*done)(void *ctx, const struct http_answer *answer, struct error *err),
                                  void *ctx)
{
        struct http_call *call = NEW(struct http_call);

        call->client = c;
        call->loop = c->loop;
        call->done = done;
        call->ctx = ctx;
        call->limit = request->limit;
        call->body = BUF_MAX(request->limit);
        call->connect_within = request->connect_within;
        call->within = request->within;
        call->started = loop_now(c->loop);
        call->host = origin_of(str_of(request->url));
        for (size_t i = 0; i < HTTP_WANTED_MAX && request->wanted[i] != NULL; i++)
                call->wanted_name[i] = str_dup(str_of(request->wanted[i]));
        struct error *err = call_begin(call, request);
        if (err != NULL)
                finish(call, err);
        return call;
}

void http_call_cancel(struct http_call *call)
{
        if (call->client == NULL) /* done is due */
                return;
        finish(call, error_new(ERROR_CANCELLED, "the request to %s was cancelled", call->host));
}

struct http_client *http_client_new(struct loop *l, struct http_client_options options)
{
        struct http_client *c = NEW(struct http_client);

        c->loop = l;
        c->lookups = lookups_new(l);
        c->keep = options.keep;
        c->ca_bundle = options.ca_bundle == NULL ? NULL : str_dup(str_of(options.ca_bundle));
        c->ca_pem = str_dup(options.ca_pem);
        c->ca_pem_len = options.ca_pem.len;
        return c;
}

void http_client_free(struct http_client *c)
{
        if (c == NULL)
                return;
        if (c->curl != NULL) {
                c->curl->multi_cleanup(c->multi);
                timer_free(c->timer);
        }
        while (c->peers != NULL)
                forget_peer(c, c->peers->fd);
        lookups_free(c->lookups);
        free(c->ca_bundle);
        free(c->ca_pem);
        free(c);
}

struct error *http_client_load(void)
{
        const struct curl_api *unused;

        return curl_api_load(&unused);
}
