/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/grpc.h"

#include <nghttp2/nghttp2.h>

#include "base/text.h"
#include "rpc/wire.h"

void grpc_inbox_init(struct grpc_inbox *in, size_t max)
{
        *in = (struct grpc_inbox){ .max = max, .held = BUF_MAX(max) };
}

void grpc_inbox_release(struct grpc_inbox *in)
{
        buf_release(&in->held);
        *in = (struct grpc_inbox){ 0 };
}

static struct error *read_prefix(struct grpc_inbox *in)
{
        const uint8_t *p = in->prefix;
        size_t len = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];

        if (p[0] > 1)
                return error_new(ERROR_INVALID_ARGUMENT, "a message begins with flag %u, which is not one of gRPC", p[0]);
        if (p[0] == 1)
                return error_hint(error_new(ERROR_UNIMPLEMENTED, "a message is compressed, which is not supported here"),
                                  "send with grpc-encoding identity");
        if (len > in->max)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "a message of %zu bytes is larger than the %zu allowed here",
                                 len, in->max);
        in->message_len = len;
        return NULL;
}

struct error *grpc_inbox_feed(struct grpc_inbox *in, struct str *bytes, bool *ret_is_whole, struct str *ret)
{
        *ret_is_whole = false;
        if (in->prefix_len == GRPC_PREFIX && in->held.len == in->message_len) {
                /* The previous message was delivered: reset. The buffer of a large one is freed. */
                in->prefix_len = 0;
                buf_release(&in->held);
                in->held = BUF_MAX(in->max);
        }
        while (in->prefix_len < GRPC_PREFIX) {
                if (bytes->len == 0)
                        return NULL;
                in->prefix[in->prefix_len++] = (uint8_t)bytes->ptr[0];
                *bytes = str_slice(*bytes, 1, bytes->len);
                if (in->prefix_len == GRPC_PREFIX)
                        TRY(read_prefix(in));
        }
        if (in->held.len == 0 && bytes->len >= in->message_len) {
                /* The message is whole in the input: no copy. */
                *ret = str_slice(*bytes, 0, in->message_len);
                *bytes = str_slice(*bytes, in->message_len, bytes->len);
                in->prefix_len = 0;
                *ret_is_whole = true;
                return NULL;
        }
        struct str part = str_slice(*bytes, 0, in->message_len - in->held.len);
        buf_put(&in->held, part);
        *bytes = str_slice(*bytes, part.len, bytes->len);
        *ret = buf_str(&in->held);
        *ret_is_whole = in->held.len == in->message_len;
        return NULL;
}

bool grpc_inbox_is_midway(const struct grpc_inbox *in)
{
        return in->prefix_len > 0 && (in->prefix_len < GRPC_PREFIX || in->held.len < in->message_len);
}

/* Reserves room for a message of len bytes and writes its prefix; false: it does not fit. */
static bool put_prefix(struct buf *out, size_t len)
{
        if (len > UINT32_MAX || GRPC_PREFIX + len > out->max - out->len) {
                out->overflowed = true;
                return false;
        }
        buf_put_u8(out, 0);
        buf_put_u32(out, (uint32_t)len);
        return true;
}

void grpc_put_message(struct buf *out, const ProtobufCMessage *msg)
{
        if (put_prefix(out, protobuf_c_message_get_packed_size(msg)))
                wire_encode(out, msg);
}

void grpc_put_bytes(struct buf *out, struct str message)
{
        if (put_prefix(out, message.len))
                buf_put(out, message);
}

void grpc_put_percent_encoded(struct buf *out, struct str text)
{
        for (size_t i = 0; i < text.len; i++) {
                uint8_t c = (uint8_t)text.ptr[i];

                if (c >= 0x20 && c <= 0x7e && c != '%')
                        buf_put_char(out, (char)c);
                else
                        buf_printf(out, "%%%02X", c);
        }
}

void grpc_put_percent_decoded(struct buf *out, struct str text)
{
        for (size_t i = 0; i < text.len; i++) {
                int high = -1, low = -1;

                if (text.ptr[i] == '%' && i + 2 < text.len) {
                        high = hex_digit(text.ptr[i + 1]);
                        low = hex_digit(text.ptr[i + 2]);
                }
                if (high < 0 || low < 0) {
                        buf_put_char(out, text.ptr[i]);
                        continue;
                }
                buf_put_u8(out, (uint8_t)(high << 4 | low));
                i += 2;
        }
}

static const struct {
        char name;
        int64_t ns;
} timeout_units[] = {
        { 'n', 1 },          { 'u', 1000 },
        { 'm', 1000000 },    { 'S', 1000000000 },
        { 'M', 60000000000 }, { 'H', 3600000000000 },
};

struct error *grpc_timeout_parse(struct str text, struct duration *ret)
{
        int64_t number = 0, unit = 0;

        for (size_t i = 0; text.len > 0 && i < ARRAY_LEN(timeout_units); i++)
                if (timeout_units[i].name == text.ptr[text.len - 1])
                        unit = timeout_units[i].ns;
        if (unit == 0 || text.len > GRPC_TIMEOUT_DIGITS + 1)
                return error_new(ERROR_INVALID_ARGUMENT, "the grpc-timeout header is not a number and a unit");
        TRY(parse_int(str_slice(text, 0, text.len - 1), 0, 99999999, "the grpc-timeout header", &number));
        /* 99999999 hours are 11,000 years: more than an int64 of nanoseconds holds. */
        ret->ns = number > INT64_MAX / unit ? INT64_MAX : number * unit;
        return NULL;
}

void grpc_timeout_put(struct buf *out, struct duration d)
{
        int64_t ms = d.ns < 0 ? 0 : (d.ns + 999999) / 1000000;

        if (ms <= 99999999)
                buf_printf(out, "%lldm", (long long)ms);
        else /* a day or more */
                buf_printf(out, "%lldS", (long long)(ms / 1000 > 99999999 ? 99999999 : ms / 1000));
}

bool grpc_is_content_type(struct str value)
{
        struct str type = str_trim(str_split(&value, ';'));

        return str_equal_nocase(type, STR("application/grpc")) || str_equal_nocase(type, STR("application/grpc+proto"));
}

enum error_code grpc_code_of_http(int64_t status)
{
        switch (status) {
        case 400:
                return ERROR_INTERNAL;
        case 401:
                return ERROR_UNAUTHENTICATED;
        case 403:
                return ERROR_PERMISSION_DENIED;
        case 404:
                return ERROR_UNIMPLEMENTED;
        case 429:
        case 502:
        case 503:
        case 504:
                return ERROR_UNAVAILABLE;
        default:
                return ERROR_UNKNOWN;
        }
}

enum error_code grpc_code_of_reset(uint32_t h2_error)
{
        switch (h2_error) {
        case NGHTTP2_REFUSED_STREAM:
                return ERROR_UNAVAILABLE;
        case NGHTTP2_CANCEL:
                return ERROR_CANCELLED;
        case NGHTTP2_ENHANCE_YOUR_CALM:
                return ERROR_RESOURCE_EXHAUSTED;
        case NGHTTP2_INADEQUATE_SECURITY:
                return ERROR_PERMISSION_DENIED;
        default:
                return ERROR_INTERNAL;
        }
}
