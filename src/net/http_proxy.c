/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http_proxy.h"

#include <stdio.h>
#include <stdlib.h>

#include <arpa/inet.h>

#include "base/mem.h"
#include "base/names.h"
#include "base/secret.h"
#include "base/text.h"
#include "loop/loop.h"
#include "net/stream.h"
#include "net/tls.h"

enum { PORT_OF_A_PROXY = 80 };
enum { USERINFO_MAX = 1 * KiB };
enum { NETWORK_BITS_MAX = 128 };
enum { STATUS_PROXY_AUTHENTICATION = 407 };

/* ---- who is reached without ---------------------------------------------------------------------------- */

struct ip {
        int family; /* 0: none */
        uint8_t bytes[16];
};

static struct ip ip_of(struct str text)
{
        struct ip ip = { 0 };
        if (!name_is_ip(text))
                return ip;
        AUTO_MEM char *c = str_dup(text);
        if (inet_pton(AF_INET, c, ip.bytes) == 1)
                ip.family = AF_INET;
        else if (inet_pton(AF_INET6, c, ip.bytes) == 1)
                ip.family = AF_INET6;
        return ip;
}

static bool is_loopback(struct str host)
{
        static const uint8_t v6_loopback[16] = { [15] = 1 };
        struct ip ip = ip_of(host);
        if (ip.family == AF_INET)
                return ip.bytes[0] == 127;
        if (ip.family == AF_INET6)
                return memcmp(ip.bytes, v6_loopback, sizeof v6_loopback) == 0;
        return str_equal_nocase(host, STR("localhost"));
}

static bool network_has(struct str network, struct str prefix, const struct ip *ip)
{
        struct ip base = ip_of(network);
        int64_t bits;
        struct error *err = parse_int(prefix, 0, base.family == AF_INET ? 32 : NETWORK_BITS_MAX, "prefix", &bits);
        if (err != NULL || base.family == 0 || base.family != ip->family) {
                error_free(err);
                return false;
        }
        size_t whole = (size_t)bits / 8;
        unsigned rest = (unsigned)bits % 8;
        if (memcmp(base.bytes, ip->bytes, whole) != 0)
                return false;
        return rest == 0 || ((base.bytes[whole] ^ ip->bytes[whole]) >> (8 - rest)) == 0;
}

/* "example.com" and ".example.com" match what is below; the first matches itself too. "*." is as ".". */
static bool name_has(struct str pattern, struct str host)
{
        if (str_starts_with(pattern, STR("*.")))
                pattern = str_slice(pattern, 1, pattern.len);
        if (str_equal_nocase(pattern, host))
                return true;
        bool is_below_only = str_starts_with(pattern, STR("."));
        size_t tail = pattern.len + (is_below_only ? 0 : 1);
        if (pattern.len == 0 || host.len <= tail)
                return false;
        struct str end = str_slice(host, host.len - tail, tail);
        if (is_below_only)
                return str_equal_nocase(end, pattern);
        return end.ptr[0] == '.' && str_equal_nocase(str_slice(end, 1, end.len), pattern);
}

static bool entry_has(struct str entry, struct str host, int port)
{
        struct ip ip = ip_of(host);
        struct str pattern, bare = entry;
        int only_port;

        if (str_equal(entry, STR("*")))
                return true;
        size_t slash = str_find_char(entry, '/');
        if (slash < entry.len)
                return network_has(str_slice(entry, 0, slash), str_slice(entry, slash + 1, entry.len), &ip);
        /* What stands in front of a name is not part of it, but address_split() is about names. */
        while (bare.len > 0 && (bare.ptr[0] == '.' || bare.ptr[0] == '*'))
                bare = str_slice(bare, 1, bare.len);
        struct error *err = address_split(bare, 0, &pattern, &only_port);
        if (err != NULL) {
                error_free(err);
                return false;
        }
        if (only_port != 0 && only_port != port)
                return false;
        if (ip.family != 0) {
                struct ip wanted = ip_of(pattern);
                return wanted.family == ip.family && memcmp(wanted.bytes, ip.bytes, sizeof ip.bytes) == 0;
        }
        if (bare.len < entry.len) /* the marks in front again */
                pattern = (struct str){ entry.ptr, (size_t)(pattern.ptr + pattern.len - entry.ptr) };
        return name_has(pattern, host);
}

static bool goes_straight(const char *no_proxy, struct str host, int port)
{
        struct str rest = str_of(no_proxy);

        if (is_loopback(host))
                return true;
        while (!str_is_empty(rest)) {
                struct str entry = str_trim(str_split(&rest, ','));
                if (entry_has(entry, host, port))
                        return true;
        }
        return false;
}

/* ---- which proxy --------------------------------------------------------------------------------------- */

static struct error *not_a_proxy(const char *why)
{
        /* The value is not shown: it may hold a password. */
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "HTTPS_PROXY of the environment cannot be used: %s", why),
                          "write http://host:port, or http://user:password@host:port");
}

static struct error *split_url(struct str url, struct str *ret_userinfo, struct str *ret_address)
{
        if (str_starts_with(url, STR("http://")))
                url = str_slice(url, 7, url.len);
        else if (str_contains(url, STR("://")))
                return not_a_proxy("only proxies that are spoken to in plain HTTP are supported");
        url = str_slice(url, 0, str_find_char(url, '/'));
        size_t user_end = 0, host_start = 0;
        for (size_t i = 0; i < url.len; i++)
                if (url.ptr[i] == '@') { /* the last one: a password may hold some */
                        user_end = i;
                        host_start = i + 1;
                }
        *ret_userinfo = str_slice(url, 0, user_end);
        *ret_address = str_slice(url, host_start, url.len);
        if (ret_userinfo->len > USERINFO_MAX)
                return not_a_proxy("the user and password are too long");
        return NULL;
}

struct error *http_proxy_choose(const char *https_proxy, const char *no_proxy, struct str host, int port,
                                struct http_proxy *ret)
{
        struct str url = str_trim(str_of(https_proxy)), address, proxy_host;
        int proxy_port;

        *ret = (struct http_proxy){ .userinfo = STR("") };
        if (str_is_empty(url) || goes_straight(no_proxy, host, port))
                return NULL;
        TRY(split_url(url, &ret->userinfo, &address));
        struct error *err = address_split(address, PORT_OF_A_PROXY, &proxy_host, &proxy_port);
        if (err != NULL) {
                error_free(err);
                return not_a_proxy("it names no host and port");
        }
        bool is_v6 = str_find_char(proxy_host, ':') < proxy_host.len;
        snprintf(ret->address, sizeof ret->address, is_v6 ? "[%.*s]:%d" : "%.*s:%d", STR_ARG(proxy_host), proxy_port);
        return NULL;
}

static const char *either(const char *upper, const char *lower)
{
        const char *value = getenv(upper);
        return value != NULL && value[0] != '\0' ? value : getenv(lower);
}

struct error *http_proxy_of_environment(struct str host, int port, struct http_proxy *ret)
{
        return http_proxy_choose(either("HTTPS_PROXY", "https_proxy"), either("NO_PROXY", "no_proxy"), host, port, ret);
}

/* ---- the answer ---------------------------------------------------------------------------------------- */

static struct error *no_http(void)
{
        return error_new(ERROR_INVALID_ARGUMENT, "the answer is not HTTP/1");
}

/* status-line = HTTP-version SP status-code SP [ reason-phrase ], RFC 9112 section 4. */
static struct error *parse_status_line(struct str line, int *ret_status, struct str *ret_reason)
{
        int64_t status;

        if (line.len < STR("HTTP/1.1 200").len || (line.len > STR("HTTP/1.1 200").len && line.ptr[12] != ' ') ||
            !(str_starts_with(line, STR("HTTP/1.1 ")) || str_starts_with(line, STR("HTTP/1.0 "))))
                return no_http();
        struct error *err = parse_int(str_slice(line, 9, 3), 100, 599, "status", &status);
        if (err != NULL) {
                error_free(err);
                return no_http();
        }
        *ret_status = (int)status;
        *ret_reason = str_trim(str_slice(line, 12, line.len));
        return NULL;
}

struct error *http_proxy_answer_parse(struct str bytes, int *ret_status, struct str *ret_reason, size_t *ret_head)
{
        static const struct str opening = STR_INIT("HTTP/1.");
        struct str begin = str_slice(bytes, 0, opening.len);

        *ret_head = 0;
        if (!str_starts_with(opening, begin))
                return no_http();
        struct str seen = str_slice(bytes, 0, LIMIT_HTTP1_HEADER);
        for (size_t i = 3; i < seen.len; i++) {
                if (memcmp(seen.ptr + i - 3, "\r\n\r\n", 4) != 0)
                        continue;
                struct str line = str_slice(seen, 0, str_find_char(seen, '\r'));
                TRY(parse_status_line(line, ret_status, ret_reason));
                *ret_head = i + 1;
                return NULL;
        }
        if (bytes.len >= LIMIT_HTTP1_HEADER)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "the answer's head is longer than %d bytes", LIMIT_HTTP1_HEADER);
        return NULL;
}

/* ---- the tunnel ---------------------------------------------------------------------------------------- */

struct http_tunnel {
        struct loop *loop;
        struct stream *stream;
        struct timer *deadline;
        struct buf input;
        char *proxy, *target;
        void (*done)(void *ctx, struct stream *tunnel, struct error *err);
        void *ctx;
        bool is_cancelled; /* report_cancel() comes */
};

static void finish(struct http_tunnel *t, struct stream *tunnel, struct error *err)
{
        if (err != NULL && t->stream != NULL)
                stream_close(t->stream);
        timer_free(t->deadline);
        if (err != NULL && err->code != ERROR_CANCELLED)
                err = error_wrap(err, "the HTTP proxy at %s gives no tunnel", t->proxy);
        t->done(t->ctx, tunnel, err);
        buf_release(&t->input);
        free(t->proxy);
        free(t->target);
        free(t);
}

static struct error *refusal(int status, struct str reason)
{
        AUTO_MEM char *shown = escaped(str_slice(reason, 0, 64));
        bool wants_user = status == STATUS_PROXY_AUTHENTICATION;
        return error_hint(error_new(ERROR_UNAVAILABLE, "it answered %d %s", status, shown),
                          wants_user ? "set HTTPS_PROXY=http://user:password@host:port for this service"
                                     : "allow CONNECT to this address on the HTTP proxy, or name it in NO_PROXY if it can be "
                                       "reached without");
}

static void on_read(void *ctx, struct str bytes)
{
        struct http_tunnel *t = ctx;
        struct str reason;
        int status;
        size_t head = 0;

        if (t->is_cancelled)
                return;
        buf_put(&t->input, bytes);
        struct error *err = buf_finish(&t->input, "the answer of an HTTP proxy");
        if (err == NULL)
                err = http_proxy_answer_parse(buf_str(&t->input), &status, &reason, &head);
        if (err == NULL && head == 0)
                return;
        stream_read(t->stream, false);
        if (err != NULL) {
                err->code = ERROR_UNAVAILABLE; /* of the tunnel */
                finish(t, NULL, error_hint(err, "is it an HTTP proxy? see HTTPS_PROXY of this service"));
                return;
        }
        if (status / 100 != 2) {
                finish(t, NULL, refusal(status, reason));
                return;
        }
        buf_consume(&t->input, head);
        struct stream *tunnel = stream_with_prefix(t->loop, t->stream, buf_str(&t->input));
        t->stream = NULL;
        finish(t, tunnel, NULL);
}

static void on_end(void *ctx, struct error *err)
{
        struct http_tunnel *t = ctx;

        if (t->is_cancelled) {
                error_free(err);
                return;
        }
        finish(t, NULL, error_because(error_new(ERROR_UNAVAILABLE, "it ended the connection"), err));
}

static const struct stream_events events = { .on_read = on_read, .on_end = on_end };

static void on_deadline(void *ctx)
{
        finish(ctx, NULL, error_new(ERROR_DEADLINE_EXCEEDED, "it did not answer in time"));
}

/* RFC 7617; what is percent-encoded in the URL is not in the credentials. */
static void put_credentials(struct buf *out, struct str userinfo)
{
        AUTO(buf) plain = BUF_MAX(USERINFO_MAX + 1);
        for (size_t i = 0; i < userinfo.len; i++) {
                AUTO(buf) byte = BUF_MAX(8);
                struct error *err = NULL;
                if (userinfo.ptr[i] == '%')
                        err = i + 2 < userinfo.len ? hex_decode(&byte, str_slice(userinfo, i + 1, 2))
                                                   : error_new(ERROR_INVALID_ARGUMENT, "a cut escape");
                if (userinfo.ptr[i] == '%' && err == NULL) {
                        buf_put(&plain, buf_str(&byte));
                        i += 2;
                } else {
                        buf_put_char(&plain, userinfo.ptr[i]);
                }
                error_free(err);
        }
        if (str_find_char(userinfo, ':') == userinfo.len)
                buf_put_char(&plain, ':');
        buf_put_c(out, "Proxy-Authorization: Basic ");
        base64_encode(out, buf_str(&plain));
        buf_put_c(out, "\r\n");
        wipe(plain.ptr, plain.len);
}

struct http_tunnel *http_tunnel_start(struct loop *l, struct stream *stream, const struct http_proxy *proxy,
                                      struct str target, struct duration within,
                                      void (*done)(void *ctx, struct stream *tunnel, struct error *err), void *ctx)
{
        AUTO(buf) request = BUF_MAX(4 * KiB);
        struct http_tunnel *t = NEW(struct http_tunnel);

        *t = (struct http_tunnel){ .loop = l, .stream = stream, .done = done, .ctx = ctx };
        t->input = BUF_MAX(LIMIT_HTTP1_HEADER + LOOP_BUFFER);
        t->proxy = str_dup(str_of(proxy->address));
        t->target = str_dup(target);
        t->deadline = timer_new(l, on_deadline, t);
        timer_start(t->deadline, within);
        stream_listen(stream, &events, t);
        buf_printf(&request, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", t->target, t->target);
        if (!str_is_empty(proxy->userinfo))
                put_credentials(&request, proxy->userinfo);
        buf_put_c(&request, "\r\n");
        stream_write(stream, buf_str(&request));
        wipe(request.ptr, request.len);
        stream_read(stream, true);
        return t;
}

static void report_cancel(void *ctx)
{
        finish(ctx, NULL, error_new(ERROR_CANCELLED, "the tunnel was given up"));
}

void http_tunnel_cancel(struct http_tunnel *t)
{
        if (t->is_cancelled)
                return;
        t->is_cancelled = true;
        timer_stop(t->deadline);
        stream_close(t->stream); /* no event comes any more */
        t->stream = NULL;
        loop_defer(t->loop, report_cancel, t);
}
