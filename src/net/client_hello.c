/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses a ClientHello for its server name and application protocols only.
 *
 * The process that terminates TLS parses the same bytes with OpenSSL. Input that two parsers could interpret
 * differently (a repeated field, trailing bytes, an invalid name) is refused.
 */
#include "base/mem.h"
#include "base/names.h"
#include "base/reader.h"
#include "base/text.h"
#include "net/tls.h"

enum {
        RECORD_HANDSHAKE = 22,        /* RFC 8446 section 5.1 */
        RECORD_FRAGMENT_MAX = 1 << 14,
        HANDSHAKE_CLIENT_HELLO = 1,   /* section 4 */
        HANDSHAKE_HEADER = 4,         /* type and a 24-bit length */
        RANDOM_LEN = 32,
        SESSION_ID_MAX = 32,
        EXTENSION_SERVER_NAME = 0,    /* RFC 6066 section 3 */
        EXTENSION_ALPN = 16,          /* RFC 7301 section 3.1 */
        NAME_KIND_HOST = 0,
};

/* The handshake message, reassembled from its records. */
struct message {
        uint8_t bytes[CLIENT_HELLO_MAX];
        size_t len;
        bool is_complete;
};

static struct str vector8(struct reader *r)
{
        return reader_take(r, reader_u8(r));
}

static struct str vector16(struct reader *r)
{
        return reader_take(r, reader_u16(r));
}

/* Appends the fragment of one record, or records an error. */
static void take_record(struct reader *r, struct message *m)
{
        uint8_t kind = reader_u8(r), major = reader_u8(r);

        reader_u8(r); /* the minor version is ignored: clients vary it for old servers */
        uint16_t len = reader_u16(r);
        if (kind != RECORD_HANDSHAKE || major != 3)
                reader_fail(r, "it is not a TLS handshake");
        else if (len == 0 || len > RECORD_FRAGMENT_MAX)
                reader_fail(r, "a record has an impossible length");
        else if (m->len + len > sizeof m->bytes)
                reader_fail(r, "it is too long");
        struct str fragment = reader_take(r, len);
        if (!reader_ok(r))
                return;
        memcpy(m->bytes + m->len, fragment.ptr, fragment.len);
        m->len += fragment.len;
}

/* Whether a whole record is at the front. An invalid record counts as whole, so that take_record() refuses it. */
static bool has_record(struct str rest)
{
        const uint8_t *b = str_bytes(rest);

        if (rest.len > 0 && b[0] != RECORD_HANDSHAKE)
                return true;
        if (rest.len > 1 && b[1] != 3)
                return true;
        if (rest.len < 5)
                return false;
        size_t len = (size_t)b[3] << 8 | b[4];
        return len == 0 || len > RECORD_FRAGMENT_MAX || rest.len - 5 >= len;
}

/* Checks the message's header once it is received, so that an invalid message is refused without waiting for its end. */
static void check_header(struct reader *r, struct message *m)
{
        struct reader header = reader_over(str_of_bytes(m->bytes, m->len));

        if (m->len > 0 && m->bytes[0] != HANDSHAKE_CLIENT_HELLO)
                reader_fail(r, "it is not a ClientHello");
        if (m->len < HANDSHAKE_HEADER)
                return;
        reader_u8(&header);
        size_t len = HANDSHAKE_HEADER + (size_t)reader_u24(&header);
        if (len > CLIENT_HELLO_MAX)
                reader_fail(r, "it is too long");
        else if (m->len > len)
                reader_fail(r, "there are bytes behind it in its record"); /* RFC 8446 section 5.1 */
        m->is_complete = m->len == len;
}

static struct error *assemble(struct str bytes, struct message *m)
{
        struct reader r = reader_over(str_slice(bytes, 0, CLIENT_HELLO_MAX));

        while (!m->is_complete && reader_ok(&r) && has_record(r.rest)) {
                take_record(&r, m);
                if (reader_ok(&r))
                        check_header(&r, m);
        }
        if (reader_ok(&r) && !m->is_complete && bytes.len >= CLIENT_HELLO_MAX)
                reader_fail(&r, "it is too long");
        r.rest.len = 0; /* bytes after the ClientHello are ignored */
        return reader_finish(&r, "ClientHello");
}

/* Copies a string into the struct; a string that does not fit is an error. */
static struct str keep(struct client_hello *hello, size_t *used, struct reader *r, struct str s)
{
        if (s.len > sizeof hello->text - *used) {
                reader_fail(r, "its names are too long");
                return (struct str){ 0 };
        }
        char *at = hello->text + *used;
        memcpy(at, s.ptr, s.len);
        *used += s.len;
        return (struct str){ at, s.len };
}

/* One host name, RFC 6066 section 3; other name types were never defined. */
static void read_server_name(struct reader *r, struct str body, struct client_hello *hello, size_t *used)
{
        struct reader outer = reader_over(body);
        struct reader list = reader_over(vector16(&outer));
        uint8_t kind = reader_u8(&list);
        struct str name = vector16(&list);

        if (!reader_ok(&outer) || !reader_ok(&list) || !str_is_empty(outer.rest) || !str_is_empty(list.rest) ||
            kind != NAME_KIND_HOST)
                reader_fail(r, "its server name is malformed");
        else if (!name_is_host(name) || name_is_ip(name))
                reader_fail(r, "its server name is not a host name");
        else
                hello->server_name = keep(hello, used, r, name);
}

static void read_alpn(struct reader *r, struct str body, struct client_hello *hello, size_t *used)
{
        struct reader outer = reader_over(body);
        struct reader list = reader_over(vector16(&outer));

        if (!reader_ok(&outer) || !str_is_empty(outer.rest) || str_is_empty(list.rest))
                reader_fail(r, "its list of application protocols is malformed");
        while (reader_ok(r) && !str_is_empty(list.rest)) {
                struct str name = vector8(&list);

                if (!reader_ok(&list) || str_is_empty(name))
                        reader_fail(r, "its list of application protocols is malformed");
                else if (hello->alpn_count == CLIENT_HELLO_ALPN_MAX)
                        reader_fail(r, "it offers too many application protocols");
                else
                        hello->alpn[hello->alpn_count++] = keep(hello, used, r, name);
        }
}

static void read_extensions(struct reader *r, struct str body, struct client_hello *hello)
{
        struct reader list = reader_over(body);
        bool has_name = false, has_alpn = false;
        size_t used = 0;

        while (reader_ok(r) && !str_is_empty(list.rest)) {
                uint16_t kind = reader_u16(&list);
                struct str data = vector16(&list);
                bool *seen = kind == EXTENSION_SERVER_NAME ? &has_name : kind == EXTENSION_ALPN ? &has_alpn : NULL;

                if (!reader_ok(&list))
                        reader_fail(r, "its extensions are malformed");
                if (!reader_ok(r) || seen == NULL)
                        continue;
                if (*seen)
                        reader_fail(r, "it has an extension twice");
                *seen = true;
                if (kind == EXTENSION_SERVER_NAME)
                        read_server_name(r, data, hello, &used);
                else
                        read_alpn(r, data, hello, &used);
        }
}

struct error *client_hello_parse(struct str bytes, struct client_hello *ret, bool *ret_complete)
{
        struct message m;

        m.len = 0;
        m.is_complete = false;
        ret->server_name = (struct str){ 0 };
        ret->alpn_count = 0;
        *ret_complete = false;
        TRY(assemble(bytes, &m));
        if (!m.is_complete)
                return NULL;

        /* In the order of RFC 8446 section 4.1.2. */
        struct reader r = reader_over(str_of_bytes(m.bytes + HANDSHAKE_HEADER, m.len - HANDSHAKE_HEADER));
        reader_u16(&r); /* legacy_version */
        reader_take(&r, RANDOM_LEN);
        struct str session_id = vector8(&r), ciphers = vector16(&r), compression = vector8(&r);
        if (session_id.len > SESSION_ID_MAX || ciphers.len == 0 || ciphers.len % 2 != 0 || compression.len == 0)
                reader_fail(&r, "its fields are malformed");
        if (reader_ok(&r) && !str_is_empty(r.rest)) /* TLS 1.2 allows a ClientHello without extensions */
                read_extensions(&r, vector16(&r), ret);
        TRY(reader_finish(&r, "ClientHello"));
        *ret_complete = true;
        return NULL;
}
