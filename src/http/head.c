/* SPDX-License-Identifier: Apache-2.0 */
#include "http/head.h"

#include "base/field_name.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "net/http1.h"

enum {
        METHOD_MAX = 32,
        LENGTH_DIGITS_MAX = 18,
        PORT_DIGITS_MAX = 5,
        LINES_BESIDE = 256, /* bytes of a head beside target, host and fields, of most messages */
};

void http_request_release(struct http_request *r)
{
        http_fields_release(&r->fields);
        *r = (struct http_request){ 0 };
}

void http_response_release(struct http_response *r)
{
        http_fields_release(&r->fields);
        *r = (struct http_response){ 0 };
}

bool http_has_no_body(int status, bool is_head)
{
        return is_head || status < 200 || status == 204 || status == 304;
}

bool http_method_is_idempotent(struct str method)
{
        static const struct str methods[] = { STR_INIT("GET"), STR_INIT("HEAD"), STR_INIT("OPTIONS"), STR_INIT("PUT"), STR_INIT("DELETE"), STR_INIT("TRACE") };

        for (size_t i = 0; i < ARRAY_LEN(methods); i++)
                if (str_equal(method, methods[i]))
                        return true;
        return false;
}

static struct error *bad(const char *why)
{
        return error_new(ERROR_INVALID_ARGUMENT, "not valid HTTP: %s", why);
}

/* ---- lines --------------------------------------------------------------------------------------------- */

struct error *http_head_find_end(struct str bytes, size_t *scanned, size_t *ret_len)
{
        struct str seen = str_slice(bytes, 0, LIMIT_HTTP_HEAD);
        size_t at = *scanned;

        *ret_len = 0;
        for (;;) { /* `at` is the start of a line */
                struct str rest = str_slice(seen, at, seen.len);
                size_t end = str_find_char(rest, '\n'), cr = str_find_char(str_slice(rest, 0, end), '\r');

                if (end < rest.len ? cr + 1 != end : cr + 1 < end)
                        return bad("a line does not end in CR LF");
                if (end == rest.len)
                        break;
                at += end + 1;
                *scanned = at;
                if (end == 1) {
                        *ret_len = at;
                        return NULL;
                }
        }
        return bytes.len < LIMIT_HTTP_HEAD ? NULL : error_new(ERROR_RESOURCE_EXHAUSTED, "the head is longer than %d bytes", LIMIT_HTTP_HEAD);
}

/* The next line of a head of complete lines. */
static struct str next_line(struct str *rest)
{
        struct str line = str_split(rest, '\n');

        return str_slice(line, 0, line.len - 1);
}

/* ---- fields of the connection and of the framing ------------------------------------------------------------ */

/* The meaning of these fields; they are removed from the list. */
struct control {
        struct str host, length, coding, upgrade;
        size_t hosts, lengths, codings, expects;
        bool is_close, is_keep_alive, is_upgrade, expects_continue, accepts_trailers;
};

/* Fields that a list of Connection cannot remove, beside those of the gateway. */
static bool is_protected(struct str name)
{
        static const struct str names[] = { STR_INIT("host"), STR_INIT("authorization"), STR_INIT("cookie"), STR_INIT("set-cookie"), STR_INIT("trailer") };

        for (size_t i = 0; i < ARRAY_LEN(names); i++)
                if (http_name_is_like(name, names[i]))
                        return true;
        return http_name_is_of_gateway(name) || (name.len > 8 && http_name_is_like(str_slice(name, 0, 8), STR("content-")));
}

/* Fields of the connection only, whether Connection names them or not (RFC 9110 section 7.6.1), and those of which struct control has the meaning. */
static bool is_of_connection(struct str name)
{
        static const struct str names[] = { STR_INIT("connection"), STR_INIT("proxy-connection"), STR_INIT("keep-alive"), STR_INIT("te"),
                                            STR_INIT("transfer-encoding"), STR_INIT("upgrade"), STR_INIT("http2-settings"), STR_INIT("proxy-authorization"),
                                            STR_INIT("content-length"), STR_INIT("host"), STR_INIT("expect") };

        for (size_t i = 0; i < ARRAY_LEN(names); i++)
                if (str_equal_nocase(name, names[i]))
                        return true;
        return false;
}

/* A name that is not one of the framing but that CGI would take for it. */
static bool is_disguised(struct str name)
{
        static const struct str names[] = { STR_INIT("content-length"), STR_INIT("transfer-encoding"), STR_INIT("host"), STR_INIT("connection") };

        for (size_t i = 0; i < ARRAY_LEN(names); i++)
                if (http_name_is_like(name, names[i]) && !str_equal_nocase(name, names[i]))
                        return true;
        return false;
}

static struct error *read_control(const struct http_field *f, struct control *c)
{
        if (is_disguised(f->name))
                return bad("the name of a field is one of the framing in another spelling");
        if (str_equal_nocase(f->name, STR("host")) && c->hosts++ == 0)
                c->host = f->value;
        if (str_equal_nocase(f->name, STR("content-length")) && c->lengths++ == 0)
                c->length = f->value;
        if (str_equal_nocase(f->name, STR("transfer-encoding")) && c->codings++ == 0)
                c->coding = f->value;
        if (str_equal_nocase(f->name, STR("upgrade")) && c->upgrade.len == 0)
                c->upgrade = f->value;
        if (str_equal_nocase(f->name, STR("te")))
                c->accepts_trailers = c->accepts_trailers || http1_list_has(f->value, STR("trailers"));
        if (str_equal_nocase(f->name, STR("expect"))) {
                c->expects++;
                c->expects_continue = str_equal_nocase(f->value, STR("100-continue"));
        }
        if (str_equal_nocase(f->name, STR("connection"))) {
                c->is_close = c->is_close || http1_list_has(f->value, STR("close"));
                c->is_keep_alive = c->is_keep_alive || http1_list_has(f->value, STR("keep-alive"));
                c->is_upgrade = c->is_upgrade || http1_list_has(f->value, STR("upgrade"));
        }
        return c->hosts > 1 || c->lengths > 1 || c->codings > 1 || c->expects > 1 ? bad("it has two Host, Content-Length, Transfer-Encoding or Expect") : NULL;
}

/* Removes the fields that an element of `list` names. */
static void remove_nominated(struct http_fields *f, struct str list)
{
        while (!str_is_empty(list)) {
                struct str name = str_trim(str_split(&list, ','));
                AUTO_MEM char *wanted = str_dup(name);

                if (!is_protected(name) && !str_equal_nocase(name, STR("connection")))
                        http_fields_remove(f, wanted);
        }
}

/* Reads the fields of the connection and removes them. Their values stay in the arena. */
static struct error *take_control(struct http_fields *f, struct control *c)
{
        struct str lists[HTTP1_LINES_MAX];
        size_t count = 0;

        for (size_t i = 0; i < f->count; i++) {
                TRY(read_control(&f->list[i], c));
                if (!str_equal_nocase(f->list[i].name, STR("connection")))
                        continue;
                if (count == ARRAY_LEN(lists))
                        return bad("it has too many Connection fields");
                lists[count++] = f->list[i].value;
        }
        for (size_t i = 0; i < count; i++)
                remove_nominated(f, lists[i]);
        http_fields_remove_if(f, is_of_connection);
        return NULL;
}

static struct error *parse_length(struct str value, uint64_t *ret)
{
        int64_t length;

        for (size_t i = 0; i < value.len; i++)
                if (!char_is_digit(value.ptr[i]))
                        return bad("its Content-Length is no number");
        if (value.len == 0 || value.len > LENGTH_DIGITS_MAX)
                return bad("its Content-Length is no number");
        TRY(parse_int(value, 0, INT64_MAX, "Content-Length", &length));
        *ret = (uint64_t)length;
        return NULL;
}

/* RFC 9112 section 6.3, with every doubtful case refused. *ret is unchanged if neither field is given. */
static struct error *read_framing(const struct control *c, int minor, struct http_framing *ret)
{
        if (c->codings > 0 && c->lengths > 0)
                return bad("it has Content-Length and Transfer-Encoding");
        if (c->codings > 0 && minor == 0)
                return bad("it has a Transfer-Encoding in HTTP/1.0");
        if (c->codings > 0 && !str_equal_nocase(c->coding, STR("chunked")))
                return error_new(ERROR_UNIMPLEMENTED, "the message has a transfer coding other than chunked");
        if (c->codings > 0)
                *ret = (struct http_framing){ .kind = HTTP_BODY_CHUNKED };
        if (c->lengths > 0) {
                TRY(parse_length(c->length, &ret->length));
                ret->kind = HTTP_BODY_LENGTH;
        }
        return NULL;
}

static struct error *parse_version(struct str text, int *ret_minor)
{
        if (str_equal(text, STR("HTTP/1.1")))
                *ret_minor = 1;
        else if (str_equal(text, STR("HTTP/1.0")))
                *ret_minor = 0;
        else
                return bad("its version is neither HTTP/1.1 nor HTTP/1.0");
        return NULL;
}

/* Adds the lines after the first one. */
static struct error *parse_fields(struct str rest, struct http_fields *ret)
{
        for (struct str line = next_line(&rest); !str_is_empty(line); line = next_line(&rest)) {
                struct error *err = http_fields_parse_line(ret, line);

                if (err != NULL)
                        return error_wrap(err, "not valid HTTP");
        }
        return NULL;
}

/* The protocols of the list that may be passed on: HTTP/2 without TLS would carry requests past the gateway. */
static struct str protocols_of(struct http_fields *f, struct str list)
{
        AUTO(buf) kept = BUF_MAX(LIMIT_HTTP_HEAD);

        while (!str_is_empty(list)) {
                struct str protocol = str_trim(str_split(&list, ','));
                struct str rest = protocol, name = str_split(&rest, '/');

                if (!http_is_token(name) || (rest.len > 0 && !http_is_token(rest)) || str_equal_nocase(name, STR("h2c")) || str_equal_nocase(name, STR("HTTP")) ||
                    str_equal_nocase(name, STR("TLS")))
                        continue;
                if (kept.len > 0)
                        buf_put_c(&kept, ", ");
                buf_put(&kept, protocol);
        }
        return http_fields_keep(f, buf_str(&kept));
}

/* ---- requests ------------------------------------------------------------------------------------------- */

/* uri-host [ ":" port ], without user information, of the characters of names and literals (RFC 9110 section 7.2). */
static bool is_authority(struct str s)
{
        struct str host = s, port = { 0 };

        if (str_starts_with(s, STR("["))) {
                size_t end = str_find_char(s, ']');

                if (end == s.len || !name_is_ip(str_slice(s, 1, end - 1)) || str_find_char(str_slice(s, 1, end - 1), ':') == end - 1)
                        return false;
                host = str_slice(s, 0, end + 1);
                port = str_slice(s, end + 1, s.len);
                if (port.len == 1 || (port.len > 1 && port.ptr[0] != ':'))
                        return false;
                port = str_slice(port, 1, port.len);
        } else {
                port = s;
                host = str_split(&port, ':');
                if (host.len + 1 == s.len)
                        return false;
                for (size_t i = 0; i < host.len; i++)
                        if (!char_is_alnum(host.ptr[i]) && host.ptr[i] != '-' && host.ptr[i] != '.' && host.ptr[i] != '_')
                                return false;
        }
        for (size_t i = 0; i < port.len; i++)
                if (!char_is_digit(port.ptr[i]))
                        return false;
        return host.len > 0 && host.len <= 255 && port.len <= PORT_DIGITS_MAX;
}

static bool is_target(struct str s)
{
        for (size_t i = 0; i < s.len; i++)
                if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f || s.ptr[i] == '#')
                        return false;
        return s.len > 0;
}

/* RFC 9112 section 3.2. The host of an absolute target is *ret_host, which replaces Host (section 3.2.2). */
static struct error *parse_target(struct str method, struct str target, struct str *ret_target, struct str *ret_host)
{
        if (str_equal(method, STR("CONNECT")))
                return error_new(ERROR_UNIMPLEMENTED, "this gateway opens no connections for CONNECT");
        if (!is_target(target))
                return bad("its target is no path");
        *ret_target = target;
        if (target.ptr[0] == '/' || (str_equal(target, STR("*")) && str_equal(method, STR("OPTIONS"))))
                return NULL;
        size_t scheme = str_find_char(target, ':');
        struct str name = str_slice(target, 0, scheme), rest = str_slice(target, scheme, target.len);
        if ((!str_equal_nocase(name, STR("http")) && !str_equal_nocase(name, STR("https"))) || !str_starts_with(rest, STR("://")))
                return bad("its target is no path");
        rest = str_slice(rest, 3, rest.len);
        size_t slash = str_find_char(rest, '/');
        *ret_host = str_slice(rest, 0, slash);
        *ret_target = slash == rest.len ? STR("/") : str_slice(rest, slash, rest.len);
        return is_authority(*ret_host) ? NULL : bad("its target has no proper host");
}

static struct error *parse_request_line(struct str line, struct http_request *r, struct str *ret_host)
{
        struct str rest = line, method = str_split(&rest, ' '), target = str_split(&rest, ' ');

        if (!http_is_token(method) || method.len > METHOD_MAX)
                return bad("its method is malformed");
        TRY(parse_version(rest, &r->minor));
        TRY(parse_target(method, target, &target, ret_host));
        r->method = method;
        r->target = target;
        return NULL;
}

static struct error *take_request(struct http_request *r, struct str absolute_host)
{
        struct control c = { 0 };

        TRY(take_control(&r->fields, &c));
        if (c.hosts == 0 || !is_authority(c.host))
                return bad("it has no proper Host");
        TRY(read_framing(&c, r->minor, &r->body));
        if (c.expects > 0 && !c.expects_continue)
                return error_new(ERROR_FAILED_PRECONDITION, "the request expects something other than 100-continue");
        r->host = absolute_host.len > 0 ? absolute_host : c.host;
        r->is_close = c.is_close || r->minor == 0;
        r->accepts_trailers = c.accepts_trailers && r->minor == 1;
        bool has_body = r->body.kind == HTTP_BODY_CHUNKED || r->body.length > 0;
        r->expects_continue = c.expects_continue && r->minor == 1 && has_body;
        if (c.is_upgrade && r->minor == 1 && !has_body)
                r->upgrade = protocols_of(&r->fields, c.upgrade);
        return NULL;
}

struct error *http_request_parse(struct str head, struct http_request *ret)
{
        AUTO(http_request) r = { 0 };
        struct str rest = http_fields_keep(&r.fields, head), absolute_host = { 0 };

        TRY(parse_request_line(next_line(&rest), &r, &absolute_host));
        TRY(parse_fields(rest, &r.fields));
        TRY(take_request(&r, absolute_host));
        *ret = r;
        r = (struct http_request){ 0 };
        return NULL;
}

/* Ends a head: framing, upgrade, blank line. */
static void put_connection(struct buf *out, struct http_framing body, struct str upgrade, const char *connection)
{
        if (body.kind == HTTP_BODY_LENGTH) {
                buf_put_c(out, "Content-Length: ");
                buf_put_decimal(out, body.length);
                buf_put_c(out, "\r\n");
        }
        if (body.kind == HTTP_BODY_CHUNKED)
                buf_put_c(out, "Transfer-Encoding: chunked\r\n");
        if (upgrade.len > 0) {
                buf_put_c(out, "Connection: Upgrade\r\nUpgrade: ");
                buf_put(out, upgrade);
                buf_put_c(out, "\r\n");
        } else if (connection != NULL) {
                buf_put_c(out, "Connection: ");
                buf_put_c(out, connection);
                buf_put_c(out, "\r\n");
        }
        buf_put_c(out, "\r\n");
}

struct error *http_request_set_host(struct http_request *r, struct str host)
{
        if (!is_authority(host))
                return error_new(ERROR_INVALID_ARGUMENT, "the value for Host is not host or host:port");
        r->host = http_fields_keep(&r->fields, host);
        return NULL;
}

void http_request_put(struct buf *out, const struct http_request *r)
{
        buf_reserve(out, r->method.len + r->target.len + r->host.len + http_fields_size(&r->fields) + LINES_BESIDE);
        buf_put(out, r->method);
        buf_put_char(out, ' ');
        buf_put(out, r->target);
        buf_put_c(out, " HTTP/1.1\r\nHost: ");
        buf_put(out, r->host);
        buf_put_c(out, "\r\n");
        http_fields_put(out, &r->fields);
        if (r->expects_continue)
                buf_put_c(out, "Expect: 100-continue\r\n");
        if (r->accepts_trailers)
                buf_put_c(out, "TE: trailers\r\n");
        put_connection(out, r->body, r->upgrade, r->accepts_trailers ? "TE" : NULL);
}

/* ---- responses ------------------------------------------------------------------------------------------ */

/* status-line = HTTP-version SP status-code SP [ reason-phrase ] (RFC 9112 section 4). */
static struct error *parse_status_line(struct str line, struct http_response *r)
{
        struct str rest = line;
        int64_t status;

        TRY(parse_version(str_split(&rest, ' '), &r->minor));
        struct str code = str_split(&rest, ' ');
        struct error *err = code.len == 3 ? parse_int(code, 100, 599, "the status", &status) : bad("its status is no number");
        if (err != NULL) {
                error_free(err);
                return bad("its status is no number of three digits");
        }
        if (!http_is_field_value(rest))
                return bad("its reason has control bytes");
        r->status = (int)status;
        r->reason = str_trim(rest);
        return NULL;
}

static struct error *take_response(struct http_response *r, bool is_head)
{
        struct control c = { 0 };

        TRY(take_control(&r->fields, &c));
        r->is_close = c.is_close || (r->minor == 0 && !c.is_keep_alive);
        struct http_framing framing = { .kind = HTTP_BODY_UNTIL_CLOSE };
        TRY(read_framing(&c, r->minor, &framing));
        if (r->status == 101)
                r->upgrade = c.is_upgrade ? protocols_of(&r->fields, c.upgrade) : (struct str){ 0 };
        if (!http_has_no_body(r->status, is_head)) {
                r->body = framing;
                return NULL;
        }
        /* The length of the body that GET would have got is a field like others. */
        bool is_length_known = framing.kind == HTTP_BODY_LENGTH && (is_head || r->status == 304) && r->status >= 200 && r->status != 204;
        return is_length_known ? http_fields_add(&r->fields, STR("Content-Length"), c.length) : NULL;
}

struct error *http_response_parse(struct str head, bool is_head, struct http_response *ret)
{
        AUTO(http_response) r = { 0 };
        struct str rest = http_fields_keep(&r.fields, head);

        TRY(parse_status_line(next_line(&rest), &r));
        TRY(parse_fields(rest, &r.fields));
        TRY(take_response(&r, is_head));
        *ret = r;
        r = (struct http_response){ 0 };
        return NULL;
}

void http_response_put(struct buf *out, const struct http_response *r, struct http_send how)
{
        buf_reserve(out, r->reason.len + http_fields_size(&r->fields) + LINES_BESIDE + how.following);
        buf_put_c(out, "HTTP/1.1 ");
        buf_put_decimal(out, (uint64_t)r->status);
        buf_put_char(out, ' ');
        buf_put(out, r->reason);
        buf_put_c(out, "\r\n");
        http_fields_put(out, &r->fields);
        put_connection(out, how.body, r->upgrade, how.is_close ? "close" : NULL);
}
