/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/http1.h"

#include "base/text.h"

/* tchar of RFC 9110 section 5.6.2. */
static bool is_token_char(char c)
{
        return char_is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_token(struct str s)
{
        for (size_t i = 0; i < s.len; i++) {
                if (!is_token_char(s.ptr[i]))
                        return false;
        }
        return s.len > 0;
}

/* Visible ASCII: what a target may consist of. */
static bool is_visible(struct str s)
{
        for (size_t i = 0; i < s.len; i++) {
                if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f)
                        return false;
        }
        return true;
}

/* Blanks, tabs, visible ASCII and obs-text (above 0x7f); no control bytes. */
static bool is_value(struct str s)
{
        for (size_t i = 0; i < s.len; i++) {
                unsigned char c = (unsigned char)s.ptr[i];
                if ((c < ' ' && c != '\t') || c == 0x7f)
                        return false;
        }
        return true;
}

static struct error *bad(const char *why)
{
        return error_new(ERROR_INVALID_ARGUMENT, "not an HTTP request: %s", why);
}

/* request-line = method SP request-target SP HTTP-version (RFC 9112 section 3). */
static struct error *parse_request_line(struct str line, struct http1_request *ret)
{
        struct str rest = line;
        struct str method = str_split(&rest, ' ');
        struct str target = str_split(&rest, ' ');
        if (!is_token(method) || method.len > 16)
                return bad("its method is malformed");
        if (target.len > HTTP1_TARGET_MAX)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "the request target is longer than %d bytes",
                                 HTTP1_TARGET_MAX);
        if (!str_starts_with(target, STR("/")) || !is_visible(target))
                return bad("its target is not a path");
        if (str_equal(rest, STR("HTTP/1.1")))
                ret->minor = 1;
        else if (str_equal(rest, STR("HTTP/1.0")))
                ret->minor = 0;
        else
                return bad("its version is neither HTTP/1.1 nor HTTP/1.0");
        ret->method = method;
        ret->path = str_split(&target, '?');
        ret->query = target;
        return NULL;
}

/* field-line = field-name ":" OWS field-value OWS (RFC 9112 section 5). */
static struct error *parse_field(struct str line, struct http1_request *ret, bool *has_host)
{
        size_t colon = str_find_char(line, ':');
        struct str name = str_slice(line, 0, colon);
        struct str value = str_trim(str_slice(line, colon + 1, line.len));
        if (colon == line.len || !is_token(name))
                return bad("a field has no proper name");
        if (!is_value(value))
                return bad("a field holds control bytes");
        if (str_equal_nocase(name, STR("host"))) {
                if (*has_host)
                        return bad("it has more than one Host");
                *has_host = true;
                ret->host = value;
        }
        bool is_empty_body = str_equal_nocase(name, STR("content-length")) && str_equal(value, STR("0"));
        if (str_equal_nocase(name, STR("transfer-encoding")) ||
            (str_equal_nocase(name, STR("content-length")) && !is_empty_body))
                return error_new(ERROR_UNIMPLEMENTED, "requests with a body are not served");
        return NULL;
}

/* The next line without its CRLF, or *ret_complete false. A bare LF or CR is a fault. */
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

struct error *http1_parse(struct str bytes, struct http1_request *ret, size_t *ret_head)
{
        /* A head that is too long stays so, whatever follows. */
        struct str looked_at = str_slice(bytes, 0, LIMIT_HTTP1_HEADER);
        struct str rest = looked_at;
        struct http1_request request = { 0 };
        struct str line;
        bool is_complete, has_host = false;

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
                        TRY(parse_field(line, &request, &has_host));
                }
        }
        if (request.minor == 1 && !has_host)
                return bad("it has no Host");
        *ret = request;
        *ret_head = looked_at.len - rest.len;
        return NULL;
}
