/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http1.h"

#include <stddef.h>

#include "base/field_name.h"
#include "base/names.h"
#include "base/text.h"

enum { BODY_LENGTH_MAX = 1 << 30 }; /* bytes; upper bound of the caller's own limit */

static const struct {
        int status;
        const char *reason;
} reasons[] = {
        { 101, "Switching Protocols" }, { 200, "OK" }, { 204, "No Content" }, { 302, "Found" }, { 303, "See Other" },
        { 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "Not Found" }, { 405, "Method Not Allowed" },
        { 408, "Request Timeout" }, { 409, "Conflict" }, { 413, "Content Too Large" }, { 417, "Expectation Failed" }, { 421, "Misdirected Request" },
        { 426, "Upgrade Required" }, { 429, "Too Many Requests" }, { 431, "Request Header Fields Too Large" },
        { 500, "Internal Server Error" }, { 501, "Not Implemented" }, { 502, "Bad Gateway" }, { 503, "Service Unavailable" }, { 504, "Gateway Timeout" },
};

const char *http1_reason(int status)
{
        for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
                if (reasons[i].status == status)
                        return reasons[i].reason;
        }
        return "Unknown";
}

/* Visible ASCII: the characters allowed in a target. */
static bool is_visible(struct str s)
{
        for (size_t i = 0; i < s.len; i++) {
                if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f)
                        return false;
        }
        return true;
}

static struct error *bad(const char *why)
{
        return error_new(ERROR_INVALID_ARGUMENT, "not an HTTP request: %s", why);
}

/* authority-form = uri-host ":" port (RFC 9112 section 3.2.3); an IPv6 literal is refused. */
static struct error *parse_authority(struct str target, struct http1_request *ret)
{
        size_t colon = str_find_char(target, ':');
        int64_t port = 0;
        struct str host = str_slice(target, 0, colon);
        struct error *err = name_check_host(host, "the target");
        if (err == NULL)
                err = parse_int(str_slice(target, colon + 1, target.len), 0, UINT16_MAX, "the port", &port);
        if (err != NULL) {
                error_free(err);
                return bad("its target is not host:port");
        }
        ret->authority = host;
        ret->port = (uint32_t)port;
        return NULL;
}

static struct error *parse_target(struct str target, struct http1_request *ret)
{
        if (str_equal(ret->method, STR("CONNECT")))
                return parse_authority(target, ret);
        if (!str_starts_with(target, STR("/")) || !is_visible(target))
                return bad("its target is not a path");
        ret->path = str_split(&target, '?');
        ret->query = target;
        return NULL;
}

/* request-line = method SP request-target SP HTTP-version (RFC 9112 section 3). */
static struct error *parse_request_line(struct str line, struct http1_request *ret)
{
        struct str rest = line;
        struct str method = str_split(&rest, ' ');
        struct str target = str_split(&rest, ' ');
        if (!http_is_token(method) || method.len > 16)
                return bad("its method is malformed");
        if (target.len > HTTP1_TARGET_MAX)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "the request target is longer than %d bytes",
                                 HTTP1_TARGET_MAX);
        ret->method = method;
        TRY(parse_target(target, ret));
        if (str_equal(rest, STR("HTTP/1.1")))
                ret->minor = 1;
        else if (str_equal(rest, STR("HTTP/1.0")))
                ret->minor = 0;
        else
                return bad("its version is neither HTTP/1.1 nor HTTP/1.0");
        return NULL;
}

bool http1_list_has(struct str list, struct str token)
{
        while (!str_is_empty(list))
                if (str_equal_nocase(str_trim(str_split(&list, ',')), token))
                        return true;
        return false;
}

const char *http1_lines_choose(const struct http1_lines *lines, const char *const *known)
{
        for (size_t i = 0; i < lines->count; i++) {
                struct str rest = lines->values[i];

                while (!str_is_empty(rest)) {
                        struct str element = str_trim(str_split(&rest, ','));

                        for (const char *const *k = known; *k != NULL; k++)
                                if (str_equal_nocase(element, str_of(*k)))
                                        return *k;
                }
        }
        return NULL;
}

bool http1_lines_have(const struct http1_lines *lines, const char *token)
{
        return http1_lines_choose(lines, (const char *const[]){ token, NULL }) != NULL;
}

/* The fields that are parsed, each at most once. */
enum field {
        HOST, CONTENT_LENGTH, CONTENT_TYPE, ORIGIN, FETCH_SITE, COOKIE, USER_AGENT, LOGIN, KIND, TRIED, TRANSFER_ENCODING, WEBSOCKET_KEY, WEBSOCKET_VERSION, FIELDS
};

static const char *const field_names[FIELDS] = {
        [HOST] = "host",
        [CONTENT_LENGTH] = "content-length",
        [CONTENT_TYPE] = "content-type",
        [ORIGIN] = "origin",
        [FETCH_SITE] = "sec-fetch-site",
        [COOKIE] = "cookie",
        [USER_AGENT] = "user-agent",
        [LOGIN] = "x-teleport-login",
        [KIND] = "x-teleport-kind",
        [TRIED] = "x-teleport-tried",
        [TRANSFER_ENCODING] = "transfer-encoding",
        [WEBSOCKET_KEY] = "sec-websocket-key",
        [WEBSOCKET_VERSION] = "sec-websocket-version",
};

/* The list fields that are parsed; a line adds to the list at this offset of struct http1_request. */
static const struct {
        const char *name;
        size_t offset;
} lists[] = {
        { "upgrade", offsetof(struct http1_request, upgrade) },
        { "x-teleport-upgrade", offsetof(struct http1_request, upgrade) },
        { "sec-websocket-protocol", offsetof(struct http1_request, websocket_protocol) },
        { "x-forwarded-for", offsetof(struct http1_request, forwarded_for) },
};

struct fields {
        struct str values[FIELDS];
        bool is_given[FIELDS];
        bool is_close, is_upgrade; /* from Connection, a list that may span several lines */
};

/* Adds the line if its field is one of the lists. */
static struct error *add_to_lists(struct http1_request *request, struct str name, struct str value)
{
        for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
                struct http1_lines *lines = (struct http1_lines *)((char *)request + lists[i].offset);

                if (!str_equal_nocase(name, str_of(lists[i].name)))
                        continue;
                if (lines->count == HTTP1_LINES_MAX)
                        return error_new(ERROR_INVALID_ARGUMENT, "not an HTTP request: it has more than %d lines of %s", HTTP1_LINES_MAX,
                                         lists[i].name);
                lines->values[lines->count++] = value;
        }
        return NULL;
}

/* field-line = field-name ":" OWS field-value OWS (RFC 9112 section 5). */
static struct error *parse_field(struct str line, struct http1_request *request, struct fields *ret)
{
        size_t colon = str_find_char(line, ':');
        struct str name = str_slice(line, 0, colon);
        struct str value = str_trim(str_slice(line, colon + 1, line.len));
        if (colon == line.len || !http_is_token(name))
                return bad("a field has no proper name");
        if (!http_is_field_value(value))
                return bad("a field holds control bytes");
        if (str_equal_nocase(name, STR("connection"))) {
                ret->is_close = ret->is_close || http1_list_has(value, STR("close"));
                ret->is_upgrade = ret->is_upgrade || http1_list_has(value, STR("upgrade"));
        }
        for (size_t i = 0; i < FIELDS; i++) {
                if (!str_equal_nocase(name, str_of(field_names[i])))
                        continue;
                if (ret->is_given[i])
                        return error_new(ERROR_INVALID_ARGUMENT, "not an HTTP request: it has more than one %s",
                                         field_names[i]);
                ret->is_given[i] = true;
                ret->values[i] = value;
        }
        return add_to_lists(request, name, value);
}

/* Content-Length = 1*DIGIT (RFC 9110 section 8.6). */
static struct error *parse_length(const struct http1_request *request, struct str value, size_t body_max, size_t *ret)
{
        uint64_t length = 0;
        body_max = body_max < BODY_LENGTH_MAX ? body_max : BODY_LENGTH_MAX;
        for (size_t i = 0; i < value.len; i++) {
                if (!char_is_digit(value.ptr[i]))
                        return bad("its Content-Length is no number");
                length = length > BODY_LENGTH_MAX ? length : 10 * length + (uint64_t)(value.ptr[i] - '0');
        }
        if (value.len == 0)
                return bad("its Content-Length is no number");
        if (length > 0 && !str_equal(request->method, STR("POST")))
                return error_new(ERROR_UNIMPLEMENTED, "a body comes with POST only");
        if (length > body_max)
                return error_new(ERROR_UNIMPLEMENTED, "the body is longer than %zu bytes", body_max);
        *ret = (size_t)length;
        return NULL;
}

static struct error *take_fields(struct http1_request *request, const struct fields *fields, size_t body_max)
{
        if (request->minor == 1 && !fields->is_given[HOST])
                return bad("it has no Host");
        if (fields->is_given[TRANSFER_ENCODING])
                return error_new(ERROR_UNIMPLEMENTED, "bodies are taken with a Content-Length only");
        if (fields->is_given[CONTENT_LENGTH])
                TRY(parse_length(request, fields->values[CONTENT_LENGTH], body_max, &request->body));
        request->host = fields->values[HOST];
        request->content_type = fields->values[CONTENT_TYPE];
        request->origin = fields->values[ORIGIN];
        request->fetch_site = fields->values[FETCH_SITE];
        request->cookie = fields->values[COOKIE];
        request->user_agent = fields->values[USER_AGENT];
        request->login = fields->values[LOGIN];
        request->kind = fields->values[KIND];
        request->tried = fields->values[TRIED];
        request->websocket_key = fields->values[WEBSOCKET_KEY];
        request->websocket_version = fields->values[WEBSOCKET_VERSION];
        request->is_close = fields->is_close;
        request->is_upgrade = fields->is_upgrade;
        return NULL;
}

/* The next line without its CRLF, or *ret_complete false. A bare LF or CR is an error. */
static struct error *next_line(struct str *rest, struct str *ret, bool *ret_complete)
{
        size_t end = str_find_char(*rest, '\n');
        struct str line = str_slice(*rest, 0, end);
        size_t cr = str_find_char(line, '\r');
        bool is_complete = end < rest->len;
        *ret_complete = is_complete;
        if (is_complete ? cr + 1 != line.len : cr + 1 < line.len)
                return bad("a line does not end in CR LF");
        if (!is_complete)
                return NULL;
        *ret = str_slice(line, 0, cr);
        *rest = str_slice(*rest, end + 1, rest->len);
        return NULL;
}

struct error *http1_parse(struct str bytes, size_t body_max, struct http1_request *ret, size_t *ret_head)
{
        /* A head that exceeds the limit is refused whatever follows, so only the limit is searched. */
        struct str looked_at = str_slice(bytes, 0, LIMIT_HTTP1_HEADER);
        struct str rest = looked_at;
        struct http1_request request = { 0 };
        struct fields fields = { 0 };
        struct str line = { 0 };
        bool is_complete;

        *ret_head = 0;
        for (size_t count = 0;; count++) {
                TRY(next_line(&rest, &line, &is_complete));
                if (!is_complete) {
                        if (bytes.len < LIMIT_HTTP1_HEADER)
                                return NULL;
                        return error_new(ERROR_RESOURCE_EXHAUSTED, "the request head is longer than %d bytes",
                                         LIMIT_HTTP1_HEADER);
                }
                if (count == 0) {
                        TRY(parse_request_line(line, &request));
                } else if (str_is_empty(line)) {
                        break;
                } else {
                        if (count > HTTP1_HEADERS_MAX)
                                return error_new(ERROR_RESOURCE_EXHAUSTED, "the request has more than %d fields",
                                                 HTTP1_HEADERS_MAX);
                        TRY(parse_field(line, &request, &fields));
                }
        }
        TRY(take_fields(&request, &fields, body_max));
        *ret = request;
        *ret_head = looked_at.len - rest.len;
        return NULL;
}

/* ---- responses ----------------------------------------------------------------------------------------- */

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

struct error *http1_response_parse(struct str bytes, int *ret_status, struct str *ret_reason, size_t *ret_head)
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

bool http1_status_is_gateway(int status)
{
        return status >= 502 && status <= 504;
}

struct str http1_response_field(struct str head, const char *name)
{
        while (!str_is_empty(head)) {
                struct str line = str_split(&head, '\n');
                size_t colon = str_find_char(line, ':');

                if (colon < line.len && str_equal_nocase(str_slice(line, 0, colon), str_of(name)))
                        return str_trim(str_slice(line, colon + 1, line.len));
        }
        return (struct str){ 0 };
}
