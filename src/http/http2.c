/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http2.h"

#include "base/field_name.h"
#include "base/limits.h"

enum { FIELD_OVERHEAD = 32 }; /* RFC 9113 section 6.5.2 */

void http2_request_release(struct http2_request *r)
{
        http_fields_release(&r->fields);
        buf_release(&r->cookies);
        *r = (struct http2_request){ 0 };
}

static struct error *bad(const char *what)
{
        return error_new(ERROR_INVALID_ARGUMENT, "the request is malformed: %s", what);
}

/* RFC 9113 section 8.3.1. */
static struct error *add_pseudo(struct http2_request *r, struct str name, struct str value)
{
        const struct {
                const char *name;
                struct str *value;
        } known[] = {
                { ":method", &r->method },
                { ":scheme", &r->scheme },
                { ":path", &r->path },
                { ":authority", &r->authority },
        };

        if (r->has_fields)
                return bad("a pseudo-header field follows a field");
        for (size_t i = 0; i < ARRAY_LEN(known); i++) {
                if (!str_equal(name, str_of(known[i].name)))
                        continue;
                if (known[i].value->ptr != NULL)
                        return bad("it has a pseudo-header field twice");
                if (str_is_empty(value))
                        return bad("a pseudo-header field is empty");
                *known[i].value = http_fields_keep(&r->fields, value);
                return NULL;
        }
        return bad("it has an unknown pseudo-header field");
}

/* A field that belongs to a connection of HTTP/1.1 (RFC 9113 section 8.2.2). */
static bool is_of_connection(struct str name)
{
        const char *const names[] = { "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade", "http2-settings" };

        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                if (str_equal(name, str_of(names[i])))
                        return true;
        }
        return false;
}

static bool has_upper_case(struct str s)
{
        for (size_t i = 0; i < s.len; i++) {
                if (s.ptr[i] >= 'A' && s.ptr[i] <= 'Z')
                        return true;
        }
        return false;
}

/* Browsers send each cookie in a field of its own (RFC 9113 section 8.2.3). */
static struct error *add_cookie(struct http2_request *r, struct str value)
{
        if (r->cookies.max == 0)
                r->cookies = BUF_MAX(2 * LIMIT_HTTP2_HEADER_LIST);
        if (r->cookies.len > 0)
                buf_put_c(&r->cookies, "; ");
        buf_put(&r->cookies, value);
        return buf_finish(&r->cookies, "the cookies");
}

static struct error *add_host(struct http2_request *r, struct str value)
{
        if (r->host.ptr != NULL)
                return bad("it has two Host fields");
        if (str_is_empty(value))
                return bad("Host is empty");
        r->host = http_fields_keep(&r->fields, value);
        return NULL;
}

static struct error *add_field(struct http2_request *r, struct str name, struct str value)
{
        r->has_fields = true;
        if (has_upper_case(name))
                return bad("the name of a field has a letter of upper case");
        if (is_of_connection(name))
                return bad("it has a field of a connection");
        if (str_equal(name, STR("te"))) {
                if (!str_equal(value, STR("trailers")))
                        return bad("TE has another value than trailers");
                r->accepts_trailers = true;
                return NULL;
        }
        if (str_equal(name, STR("cookie")))
                return add_cookie(r, value);
        if (str_equal(name, STR("host")))
                return add_host(r, value);
        return http_fields_add(&r->fields, name, value);
}

struct error *http2_request_add(struct http2_request *r, struct str name, struct str value)
{
        r->size += name.len + value.len + FIELD_OVERHEAD;
        if (r->size > LIMIT_HTTP2_HEADER_LIST)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "the head of the request is longer than %d bytes", LIMIT_HTTP2_HEADER_LIST);
        if (!http_is_field_value(value) || str_trim(value).len != value.len)
                return bad("a value has control bytes, or blanks at an end");
        return str_starts_with(name, STR(":")) ? add_pseudo(r, name, value) : add_field(r, name, value);
}

/* A blank in it would begin the next part of the request line. */
static bool is_one_word(struct str s)
{
        for (size_t i = 0; i < s.len; i++) {
                if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f)
                        return false;
        }
        return s.len > 0;
}

/* RFC 9113 section 8.3.1: the target is a path, and the authority takes the place of Host. */
static struct error *check_target(const struct http2_request *r, struct str *ret_host)
{
        struct str host = r->authority.len > 0 ? r->authority : r->host;

        if (!is_one_word(r->method) || r->scheme.len == 0)
                return bad("it lacks a method or a scheme");
        if (str_equal(r->method, STR("CONNECT")))
                return error_new(ERROR_UNIMPLEMENTED, "CONNECT is not supported");
        if (!str_equal(r->scheme, STR("https")))
                return bad("its scheme is not https");
        if (!is_one_word(r->path) || (r->path.ptr[0] != '/' && !str_equal(r->path, STR("*"))))
                return bad("its path does not begin with /");
        if (!is_one_word(host))
                return bad("it names no host");
        if (r->host.len > 0 && !str_equal_nocase(r->host, host))
                return bad("Host differs from :authority");
        *ret_host = host;
        return NULL;
}

struct error *http2_request_parse(const struct http2_request *r, bool is_ended, struct http_request *ret)
{
        AUTO(buf) head = BUF_MAX(4 * LIMIT_HTTP2_HEADER_LIST);
        AUTO(http_request) parsed = { 0 };
        struct str host = { 0 };

        TRY(check_target(r, &host));
        buf_printf(&head, "%.*s %.*s HTTP/1.1\r\nHost: %.*s\r\n", STR_ARG(r->method), STR_ARG(r->path), STR_ARG(host));
        http_fields_put(&head, &r->fields);
        if (r->cookies.len > 0) {
                buf_put_c(&head, "cookie: ");
                buf_put(&head, buf_str(&r->cookies));
                buf_put_c(&head, "\r\n");
        }
        if (r->accepts_trailers)
                buf_put_c(&head, "TE: trailers\r\nConnection: TE\r\n");
        if (!is_ended && http_fields_get(&r->fields, "content-length").ptr == NULL)
                buf_put_c(&head, "Transfer-Encoding: chunked\r\n");
        buf_put_c(&head, "\r\n");
        TRY(buf_finish(&head, "the head of the request"));
        TRY(http_request_parse(buf_str(&head), &parsed));
        if (is_ended && parsed.body.length > 0)
                return bad("its Content-Length announces a body that does not follow");
        *ret = parsed;
        parsed = (struct http_request){ 0 };
        return NULL;
}
