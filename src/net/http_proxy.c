/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http_proxy.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/names.h"
#include "base/network.h"
#include "base/secret.h"
#include "base/text.h"
#include "net/http1.h"
#include "net/http_connect.h"
#include "net/stream.h"

enum { PORT_OF_A_PROXY = 80, PORT_OF_A_TLS_PROXY = 443 };
enum { USERINFO_MAX = 1 * KiB };
enum { STATUS_PROXY_AUTHENTICATION = 407 };

/* ---- hosts that are reached without the proxy ---------------------------------------------------------- */

static bool is_loopback(struct str host)
{
        static const uint8_t v6_loopback[IPV6_SIZE] = { [IPV6_SIZE - 1] = 1 };
        struct ip_address ip;
        if (!ip_parse(host, &ip))
                return str_equal_nocase(host, STR("localhost"));
        if (ip.len == IPV4_SIZE)
                return ip.bytes[0] == 127;
        return memcmp(ip.bytes, v6_loopback, sizeof v6_loopback) == 0;
}

/* Bits after the prefix are ignored, unlike in the configuration: other programs that read the same variable accept them. */
static bool is_in_network(struct str network, struct str host)
{
        struct str prefix = network, first = str_split(&prefix, '/');
        struct ip_address ip, of_network;
        int64_t bits;
        if (!ip_parse(host, &ip) || !ip_parse(first, &of_network))
                return false;
        if (of_network.len == IPV4_SIZE && str_find_char(first, ':') < first.len) /* "::ffff:10.0.0.0/104" */
                return false;
        AUTO_PTR(error) err = parse_int(prefix, 0, 8 * (int64_t)of_network.len, "prefix", &bits);
        return err == NULL && ip_has_prefix(&ip, &of_network, (size_t)bits);
}

/* "example.com" and ".example.com" match names below the domain; the first also matches the domain itself. "*." means ".". */
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
        struct ip_address ip, wanted;
        struct str pattern, bare = entry;
        int only_port;

        if (str_equal(entry, STR("*")))
                return true;
        if (str_find_char(entry, '/') < entry.len)
                return is_in_network(entry, host);
        /* A leading '.' or '*' is not part of the host name; it is removed since address_split() accepts names only. */
        while (bare.len > 0 && (bare.ptr[0] == '.' || bare.ptr[0] == '*'))
                bare = str_slice(bare, 1, bare.len);
        struct error *err = address_split(bare, 0, &pattern, &only_port);
        if (err != NULL) {
                error_free(err);
                return false;
        }
        if (only_port != 0 && only_port != port)
                return false;
        if (ip_parse(host, &ip))
                return ip_parse(pattern, &wanted) && ip_has_prefix(&ip, &wanted, 8 * wanted.len);
        if (bare.len < entry.len) /* restores the leading marks */
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

/* The messages omit the value: it may contain a password. */
static struct error *unusable(const char *why)
{
        return error_new(ERROR_INVALID_ARGUMENT, "HTTPS_PROXY of the environment cannot be used: %s", why);
}

static struct error *not_a_proxy(const char *why)
{
        return error_hint(unusable(why),
                          "write http://host:port, or http://user:password@host:port; https:// if the proxy itself "
                                        "speaks TLS");
}

/* Removes the scheme from *url. */
static struct error *split_scheme(struct str *url, bool *ret_is_tls)
{
        *ret_is_tls = str_equal_nocase(str_slice(*url, 0, STR("https://").len), STR("https://"));
        if (*ret_is_tls || str_equal_nocase(str_slice(*url, 0, STR("http://").len), STR("http://"))) {
                *url = str_slice(*url, str_find_char(*url, '/') + 2, url->len);
                return NULL;
        }
        if (str_equal_nocase(str_slice(*url, 0, STR("socks").len), STR("socks")))
                return not_a_proxy("SOCKS is supported for requests to AWS only");
        return str_contains(*url, STR("://")) ? not_a_proxy("its scheme is neither http nor https") : NULL;
}

static struct error *split_url(struct str url, bool *ret_is_tls, struct str *ret_userinfo, struct str *ret_address)
{
        TRY(split_scheme(&url, ret_is_tls));
        url = str_slice(url, 0, str_find_char(url, '/'));
        size_t user_end = 0, host_start = 0;
        for (size_t i = 0; i < url.len; i++)
                if (url.ptr[i] == '@') { /* the last '@': a password may contain one */
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
        TRY(split_url(url, &ret->is_tls, &ret->userinfo, &address));
        struct error *err = address_split(address, ret->is_tls ? PORT_OF_A_TLS_PROXY : PORT_OF_A_PROXY, &proxy_host, &proxy_port);
        if (err != NULL) {
                const char *hint = name_dns_hint(str_slice(address, 0, str_find_char(address, ':')));

                error_free(err);
                return hint == NULL ? not_a_proxy("it names no host, or its port is not 1 to 65535") : error_hint(unusable("its host is not a DNS name"), "%s", hint);
        }
        if (proxy_port == 0)
                return not_a_proxy("its port is not 1 to 65535");
        AUTO_MEM char *joined = address_join(proxy_host, proxy_port);
        snprintf(ret->address, sizeof ret->address, "%s", joined);
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

/* ---- the tunnel ---------------------------------------------------------------------------------------- */

struct http_tunnel {
        struct http_connect *connect;
        char *proxy; /* address of the proxy, for messages */
        bool is_tls;   /* it is reached over TLS, for messages */
        bool has_user; /* a user was sent to it, for messages */
        void (*done)(void *ctx, struct stream *tunnel, struct error *err);
        void *ctx;
};

/* Whether the answer offers ways of authentication, and none of them is Basic (RFC 9110 section 11.7.1). */
static bool offers_no_basic(struct str head)
{
        bool is_any = false;

        while (!str_is_empty(head)) {
                struct str line = str_split(&head, '\n');
                size_t colon = str_find_char(line, ':');
                struct str ways = str_slice(line, colon + 1, line.len);

                if (!str_equal_nocase(str_slice(line, 0, colon), STR("proxy-authenticate")))
                        continue;
                is_any = true;
                while (!str_is_empty(ways))
                        if (str_equal_nocase(str_slice(str_trim(str_split(&ways, ',')), 0, STR("basic").len), STR("basic")))
                                return false;
        }
        return is_any;
}

static const char *hint_of_authentication(const struct http_tunnel *t, struct str head)
{
        if (offers_no_basic(head))
                return "it does not offer the method Basic, the only one that is supported: let it offer that, or exempt this host";
        if (t->has_user)
                return "the user or the password of HTTPS_PROXY is refused: '@', ':', '/' and '%' in them are written as %40, %3A, %2F and %25";
        return t->is_tls ? "set HTTPS_PROXY=https://user:password@host:port" : "set HTTPS_PROXY=http://user:password@host:port";
}

static struct error *refusal(const struct http_tunnel *t, const struct http_connect_result *r)
{
        AUTO_MEM char *shown = escaped(str_slice(r->reason, 0, 64));
        const char *hint = "allow CONNECT to this address on the HTTP proxy, or name it in NO_PROXY if it can be reached without";

        if (r->status == STATUS_PROXY_AUTHENTICATION)
                hint = hint_of_authentication(t, r->head);
        else if (r->status / 100 == 5)
                hint = "the HTTP proxy may not reach this address, or not resolve its name: try it from there, and see its log";
        else if (r->status / 100 == 3 || r->status == 400 || r->status == 404 || r->status == 405)
                hint = "is it an HTTP proxy that supports CONNECT, and on this port? see HTTPS_PROXY";
        return error_hint(error_new(ERROR_UNAVAILABLE, "it answered %d %s", r->status, shown), "%s", hint);
}

/* A page in place of a tunnel: a tunnel has no content (RFC 9110 section 9.3.6), and fields that say so are ignored unless all do. */
static bool is_page(struct str head)
{
        struct str type = http1_response_field(head, "content-type"), length = http1_response_field(head, "content-length");

        return str_equal_nocase(str_slice(type, 0, STR("text/html").len), STR("text/html")) && !str_is_empty(length) && !str_equal(length, STR("0"));
}

static struct error *error_of(const struct http_tunnel *t, const struct http_connect_result *r)
{
        switch (r->outcome) {
        case HTTP_CONNECT_TUNNEL:
                if (!is_page(r->head))
                        return NULL;
                return error_hint(error_new(ERROR_UNAVAILABLE, "it answered CONNECT with a web page"), "is it an HTTP proxy? see HTTPS_PROXY");
        case HTTP_CONNECT_REFUSED:
                return refusal(t, r);
        case HTTP_CONNECT_MALFORMED:
                r->err->code = ERROR_UNAVAILABLE; /* the error concerns the tunnel */
                return error_hint(r->err, "is it an HTTP proxy? see HTTPS_PROXY");
        case HTTP_CONNECT_ENDED:
                return error_because(error_new(ERROR_UNAVAILABLE, "it ended the connection"), r->err);
        case HTTP_CONNECT_TIMEOUT:
                return error_new(ERROR_DEADLINE_EXCEEDED, "it did not answer in time");
        case HTTP_CONNECT_CANCELLED:
                break;
        }
        return error_new(ERROR_CANCELLED, "the tunnel was given up");
}

static void on_connect(void *ctx, const struct http_connect_result *result)
{
        struct http_tunnel *t = ctx;
        struct error *err = error_of(t, result);
        struct stream *tunnel = result->tunnel;

        if (err != NULL && err->code != ERROR_CANCELLED)
                err = error_wrap(err, "the HTTP proxy at %s gives no tunnel", t->proxy);
        if (err != NULL) {
                stream_close(tunnel);
                tunnel = NULL;
        }
        t->done(t->ctx, tunnel, err);
        free(t->proxy);
        free(t);
}

/* RFC 7617. The credentials are the URL's userinfo with percent-encoding removed. */
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
        AUTO(buf) credentials = BUF_MAX(3 * KiB);
        AUTO_MEM char *host_port = str_dup(target);
        struct http_tunnel *t = NEW(struct http_tunnel);

        *t = (struct http_tunnel){ .done = done, .ctx = ctx, .is_tls = proxy->is_tls, .has_user = !str_is_empty(proxy->userinfo) };
        t->proxy = str_dup(str_of(proxy->address));
        if (!str_is_empty(proxy->userinfo))
                put_credentials(&credentials, proxy->userinfo);
        t->connect = http_connect_start(l, stream, &(struct http_connect_request){ .target = host_port, .fields = buf_str(&credentials), .within = within },
                                        on_connect, t);
        if (credentials.ptr != NULL)
                wipe(credentials.ptr, credentials.len);
        return t;
}

void http_tunnel_cancel(struct http_tunnel *t)
{
        http_connect_cancel(t->connect);
}
