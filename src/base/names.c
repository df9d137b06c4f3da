/* SPDX-License-Identifier: Apache-2.0 */
#include "base/names.h"

#include <arpa/inet.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"

bool name_is_host(struct str s)
{
        if (s.len == 0 || s.len > LIMIT_NAME || !char_is_alnum(s.ptr[0]) || s.ptr[s.len - 1] == '.')
                return false;
        for (size_t i = 0; i < s.len; i++) {
                if (s.ptr[i] == '.' && s.ptr[i - 1] == '.')
                        return false;
                if (!char_is_alnum(s.ptr[i]) && s.ptr[i] != '.' && s.ptr[i] != '-')
                        return false;
        }
        return true;
}

enum { DNS_NAME_MAX = 253, DNS_LABEL_MAX = 63 };

static bool has_long_label(struct str s)
{
        while (!str_is_empty(s))
                if (str_split(&s, '.').len > DNS_LABEL_MAX)
                        return true;
        return false;
}

bool name_is_dns(struct str s)
{
        return name_is_host(s) && s.len <= DNS_NAME_MAX && !has_long_label(s);
}

static bool is_ascii(struct str s)
{
        for (size_t i = 0; i < s.len; i++)
                if ((uint8_t)s.ptr[i] > 127)
                        return false;
        return true;
}

const char *name_dns_hint(struct str s)
{
        if (!is_ascii(s))
                return "write the name in ASCII: an internationalized name as its A-label, which begins with xn-- (the command idn2 prints it)";
        if (s.len > DNS_NAME_MAX)
                return "a DNS name has at most 253 bytes";
        if (has_long_label(s))
                return "each label of a DNS name, the text between two dots, has at most 63 bytes";
        if (!name_is_ip(s) && name_is_any_ip(s))
                return "write an IPv4 address with all four numbers, for example 192.0.2.1";
        return NULL;
}

bool name_is_token(struct str s)
{
        if (s.len == 0 || s.len > LIMIT_NAME || s.ptr[0] == '-')
                return false;
        for (size_t i = 0; i < s.len; i++)
                if (!char_is_alnum(s.ptr[i]) && !str_contains(STR("._-+=@:"), str_slice(s, i, 1)))
                        return false;
        return true;
}

/* Whether s begins with a letter, digit or '_' and has only letters, digits and `others`. */
static bool is_account(struct str s, size_t most, struct str others)
{
        if (s.len == 0 || s.len > most || (!char_is_alnum(s.ptr[0]) && s.ptr[0] != '_'))
                return false;
        for (size_t i = 0; i < s.len; i++)
                if (!char_is_alnum(s.ptr[i]) && str_find_char(others, s.ptr[i]) == others.len)
                        return false;
        return true;
}

bool name_is_app(struct str s)
{
        for (size_t i = 0; i < s.len; i++)
                if (!char_is_digit(s.ptr[i]) && s.ptr[i] != '-' && (s.ptr[i] < 'a' || s.ptr[i] > 'z'))
                        return false;
        return s.len > 0 && s.len <= 63 && s.ptr[0] >= 'a' && s.ptr[s.len - 1] != '-';
}

bool name_is_user(struct str s)
{
        return is_account(s, LIMIT_USER_NAME, STR("._-+@"));
}

bool name_is_login(struct str s)
{
        struct str domain = s;
        struct str account = str_split(&domain, '@');
        bool has_domain = account.len < s.len;

        return s.len <= LIMIT_LOGIN_NAME && is_account(account, LIMIT_LOGIN_NAME, STR("._-")) &&
               (!has_domain || is_account(domain, LIMIT_LOGIN_NAME, STR("._-")));
}

static bool is_lower_hex(struct str s)
{
        for (size_t i = 0; i < s.len; i++)
                if (!char_is_digit(s.ptr[i]) && (s.ptr[i] < 'a' || s.ptr[i] > 'f'))
                        return false;
        return true;
}

bool name_is_uuid(struct str s)
{
        static const size_t widths[] = { 8, 4, 4, 4, 12 };
        struct str rest = s;

        if (s.len != 36)
                return false;
        for (size_t i = 0; i < ARRAY_LEN(widths); i++) {
                struct str part = str_split(&rest, '-');

                if (part.len != widths[i] || !is_lower_hex(part))
                        return false;
        }
        return str_is_empty(rest);
}

bool name_is_host_id(struct str s)
{
        if (name_is_uuid(s))
                return true;
        return s.len >= 12 + 3 + 8 && s.len <= 64 && name_is_aws_account(str_slice(s, 0, 12)) &&
               str_equal(str_slice(s, 12, 3), STR("-i-")) && is_lower_hex(str_slice(s, 15, s.len));
}

bool name_is_ip(struct str s)
{
        char text[INET6_ADDRSTRLEN];
        unsigned char address[sizeof(struct in6_addr)];

        if (s.len == 0 || s.len >= sizeof text || str_find_char(s, '\0') != s.len)
                return false;
        memcpy(text, s.ptr, s.len);
        text[s.len] = '\0';
        return inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1;
}

bool name_is_aws_account(struct str s)
{
        if (s.len != 12)
                return false;
        for (size_t i = 0; i < s.len; i++)
                if (!char_is_digit(s.ptr[i]))
                        return false;
        return true;
}

struct error *name_check_host(struct str s, const char *field)
{
        if (name_is_host(s))
                return NULL;
        AUTO_MEM char *shown = escaped(s);
        struct error *err = error_new(ERROR_INVALID_ARGUMENT, "%s '%s' is not a valid host name", field, shown);
        if (!is_ascii(s))
                return error_hint(err, "%s", name_dns_hint(s));
        return error_hint(err,
                          "use letters, digits, '.' and '-', at most %d characters, beginning with a letter or digit",
                          LIMIT_NAME);
}

struct error *name_check_token(struct str s, const char *field)
{
        if (name_is_token(s))
                return NULL;
        AUTO_MEM char *shown = escaped(s);
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s '%s' is not a valid name", field, shown),
                          "use letters, digits and ._-+=@: only, at most %d characters, not beginning with '-'",
                          LIMIT_NAME);
}

struct str name_of_url(struct str address)
{
        static const struct str scheme = STR_INIT("https://");
        size_t end = 0;

        if (address.len < scheme.len || !str_equal_nocase(str_slice(address, 0, scheme.len), scheme))
                return address;
        address = str_slice(address, scheme.len, address.len);
        while (end < address.len && memchr("/?#", address.ptr[end], 3) == NULL)
                end++;
        return str_slice(address, 0, end);
}

char *address_join(struct str host, int port)
{
        bool is_v6 = str_find_char(host, ':') != host.len;

        return mem_printf(is_v6 ? "[%.*s]:%d" : "%.*s:%d", STR_ARG(host), port);
}

struct error *name_check_login(struct str s)
{
        AUTO_MEM char *shown = escaped(s);

        if (name_is_login(s))
                return NULL;
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the login '%s' is not a name of an account", shown),
                          "use letters, digits and '._-@', beginning with a letter, digit or '_', at most %d characters", LIMIT_LOGIN_NAME);
}

/*
 * Writes the canonical form of an address, for every form that a resolver accepts: "2001:DB8:0::1", "::ffff:192.0.2.1", and those
 * of inet_aton, such as "127.1" and "0x7f000001". Numbers from 1 to 2^24 - 1 are not in use as addresses; they are host names.
 */
static bool put_address(struct buf *out, struct str s)
{
        char text[INET6_ADDRSTRLEN];
        struct in6_addr v6;
        struct in_addr v4;

        if (s.len == 0 || s.len >= sizeof text || (!char_is_digit(s.ptr[0]) && str_find_char(s, ':') == s.len))
                return false;
        for (size_t i = 0; i < s.len; i++)
                if (!char_is_alnum(s.ptr[i]) && s.ptr[i] != '.' && s.ptr[i] != ':')
                        return false;
        memcpy(text, s.ptr, s.len);
        text[s.len] = '\0';
        if (inet_pton(AF_INET6, text, &v6) == 1 && !IN6_IS_ADDR_V4MAPPED(&v6)) {
                inet_ntop(AF_INET6, &v6, text, sizeof text);
                buf_put_c(out, text);
                return true;
        }
        if (inet_pton(AF_INET6, text, &v6) == 1)
                memcpy(&v4, v6.s6_addr + 12, sizeof v4);
        else if (inet_aton(text, &v4) == 0 || (v4.s_addr != 0 && ntohl(v4.s_addr) < 1U << 24))
                return false;
        inet_ntop(AF_INET, &v4, text, sizeof text);
        buf_put_c(out, text);
        return true;
}

static void put_lower_case(struct buf *out, struct str s)
{
        for (size_t i = 0; i < s.len; i++)
                buf_put_char(out, char_lower(s.ptr[i]));
}

void name_put_canonical(struct buf *out, struct str name, struct str cluster_name)
{
        for (;;) {
                size_t short_len = name.len > cluster_name.len ? name.len - cluster_name.len - 1 : 0;

                if (name.len > 1 && name.ptr[name.len - 1] == '.')
                        name.len--;
                else if (short_len > 0 && !str_is_empty(cluster_name) && name.ptr[short_len] == '.' &&
                         str_equal_nocase(str_slice(name, short_len + 1, name.len), cluster_name))
                        name.len = short_len;
                else
                        break;
        }
        if (!put_address(out, name))
                put_lower_case(out, name);
}

bool name_is_any_ip(struct str s)
{
        AUTO(buf) canonical = BUF_MAX(2 * LIMIT_NAME);

        name_put_canonical(&canonical, s, STR(""));
        return name_is_ip(buf_str(&canonical));
}

bool name_is_same(struct str a, struct str b, struct str cluster_name)
{
        AUTO(buf) first = BUF_MAX(2 * LIMIT_NAME), second = BUF_MAX(2 * LIMIT_NAME);

        name_put_canonical(&first, a, cluster_name);
        name_put_canonical(&second, b, cluster_name);
        return first.len > 0 && str_equal(buf_str(&first), buf_str(&second));
}

bool name_is_under_host_id(struct str name, struct str cluster_name, struct buf *ret_id)
{
        AUTO(buf) canonical = BUF_MAX(2 * LIMIT_NAME);

        name_put_canonical(&canonical, name, cluster_name);
        struct str first_label = str_slice(buf_str(&canonical), 0, str_find_char(buf_str(&canonical), '.'));
        if (!name_is_host_id(first_label))
                return false;
        if (ret_id != NULL)
                buf_put(ret_id, first_label);
        return true;
}

static bool is_below(struct str s, struct str domain)
{
        return s.len > domain.len + 1 && s.ptr[s.len - domain.len - 1] == '.' && str_ends_with(s, domain);
}

/* s: in lower case. Whether it is a name in the certificates with which Auth and Proxy Services identify themselves to hosts. */
static bool is_inner(struct str s)
{
        return str_equal(s, STR("teleport.cluster.local")) || is_below(s, STR("teleport.cluster.local"));
}

/* s: in canonical form. The names reserved for loopback by RFC 6761, and those that distributions write into /etc/hosts. */
static bool is_reserved(struct str s, struct str cluster_name)
{
        static const struct str reserved[] = {
                STR_INIT("localhost"), STR_INIT("::1"), STR_INIT("0.0.0.0"), STR_INIT("::"),
                STR_INIT("localhost.localdomain"), STR_INIT("localhost4"), STR_INIT("localhost4.localdomain4"),
                STR_INIT("localhost6"), STR_INIT("localhost6.localdomain6"), STR_INIT("ip6-localhost"), STR_INIT("ip6-loopback"),
        };

        for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
                if (str_equal(s, reserved[i]))
                        return true;
        if (name_is_ip(s) && str_starts_with(s, STR("127.")))
                return true;
        if (is_inner(s) || is_below(s, STR("localhost")))
                return true;
        return str_equal_nocase(s, cluster_name);
}

bool name_is_reserved(struct str s, struct str cluster_name)
{
        AUTO(buf) canonical = BUF_MAX(2 * LIMIT_NAME), whole = BUF_MAX(4 * LIMIT_NAME);

        name_put_canonical(&canonical, s, cluster_name);
        if (is_reserved(buf_str(&canonical), cluster_name))
                return true;
        /* As in certificates, followed by the cluster's name: "teleport" in the cluster "cluster.local". */
        put_lower_case(&whole, buf_str(&canonical));
        buf_put_char(&whole, '.');
        put_lower_case(&whole, cluster_name);
        return is_inner(buf_str(&whole));
}

struct error *name_check_cluster(struct str s, const char *field)
{
        AUTO(buf) lower = BUF_MAX(2 * LIMIT_NAME);

        TRY(name_check_host(s, field));
        put_lower_case(&lower, s);
        if (!is_inner(buf_str(&lower)))
                return NULL;
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s '%.*s' is a name that servers have in every cluster", field, STR_ARG(s)),
                          "choose a name that does not end in teleport.cluster.local");
}
