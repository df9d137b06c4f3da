/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/container.h"

#include <arpa/inet.h>

#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"

#define ECS_ADDRESS "169.254.170.2"

static struct error *url_error(struct str url, const char *variable, const char *why)
{
        AUTO_MEM char *shown = escaped(url);

        return error_new(ERROR_INVALID_ARGUMENT, "%s is '%s': %s", variable, shown, why);
}

/* Whether plain http is allowed: loopback, ECS, EKS. The only name is localhost, since a name can resolve to any address. */
static bool is_near(struct str host)
{
        static const char *const addresses[] = { ECS_ADDRESS, "169.254.170.23", "localhost" };
        char text[64];
        uint8_t bytes[16];

        for (size_t i = 0; i < ARRAY_LEN(addresses); i++)
                if (str_equal(host, str_of(addresses[i])))
                        return true;
        if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
                host = str_slice(host, 1, host.len - 2);
        if (host.len == 0 || host.len >= sizeof text || str_find_char(host, '\0') < host.len)
                return false;
        memcpy(text, host.ptr, host.len);
        text[host.len] = '\0';
        if (inet_pton(AF_INET, text, bytes) == 1)
                return bytes[0] == 127;
        static const uint8_t loopback[16] = { [15] = 1 };
        static const uint8_t eks[16] = { 0xfd, 0x00, 0x0e, 0xc2, [15] = 0x23 };
        return inet_pton(AF_INET6, text, bytes) == 1 &&
               (memcmp(bytes, loopback, sizeof bytes) == 0 || memcmp(bytes, eks, sizeof bytes) == 0);
}

static bool is_url_text(struct str s)
{
        for (size_t i = 0; i < s.len; i++)
                if (s.ptr[i] <= ' ' || s.ptr[i] > '~' || strchr("\"<>\\^`{|}#", s.ptr[i]) != NULL)
                        return false;
        return s.len <= 2048;
}

struct error *container_url(struct str relative, struct str full, struct buf *out)
{
        static const char full_name[] = "AWS_CONTAINER_CREDENTIALS_FULL_URI";

        if (!str_is_empty(relative)) {
                if (relative.ptr[0] != '/' || !is_url_text(relative))
                        return url_error(relative, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "it must be a path");
                buf_put_c(out, "http://" ECS_ADDRESS);
                buf_put(out, relative);
                return buf_finish(out, "container credentials URL");
        }
        bool is_https = str_starts_with(full, STR("https://"));
        struct str rest = str_slice(full, is_https ? 8 : 7, full.len);

        if (!is_https && !str_starts_with(full, STR("http://")))
                return url_error(full, full_name, "it must begin with http:// or https://");
        if (!is_url_text(full))
                return url_error(full, full_name, "it is not a URL");
        for (size_t i = 0; i < rest.len; i++)
                if (strchr("/?", rest.ptr[i]) != NULL)
                        rest.len = i;
        if (str_find_char(rest, '@') < rest.len)
                return url_error(full, full_name, "it must not name a user");
        /* The host without its port; an IPv6 literal keeps its brackets. */
        size_t end = rest.len > 0 && rest.ptr[0] == '[' ? str_find_char(rest, ']') + 1 : str_find_char(rest, ':');
        struct str host = str_slice(rest, 0, end);
        if (str_is_empty(host))
                return url_error(full, full_name, "it names no host");
        if (!is_https && !is_near(host))
                return error_hint(url_error(full, full_name, "plain http may go only to this machine, 169.254.170.2, "
                                                             "169.254.170.23 and fd00:ec2::23"),
                                  "use https, or a loopback address");
        buf_put(out, full);
        return buf_finish(out, "container credentials URL");
}

struct error *container_token_check(struct str token, const char *where)
{
        for (size_t i = 0; i < token.len; i++)
                if ((uint8_t)token.ptr[i] < ' ' || token.ptr[i] == 0x7f)
                        return error_hint(error_new(ERROR_INVALID_ARGUMENT,
                                                    "%s holds a line break or another control character", where),
                                          "write the token without a trailing newline");
        return NULL;
}
