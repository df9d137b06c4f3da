/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/sign_message.h"

#include <stddef.h>
#include <string.h>

#include "aws/identity_request.h"

enum { VERSION = 1, ERROR_CODE_LAST = ERROR_UNAUTHENTICATED };

static struct error *malformed(const char *what)
{
        return error_new(ERROR_INVALID_ARGUMENT, "a message about signing for AWS is malformed: %s", what);
}

/* ---- request ------------------------------------------------------------------------------------- */

static struct error *check_request(struct str challenge, struct str binding)
{
        TRY(aws_check_challenge(challenge));
        if (binding.len != AWS_SIGN_BINDING)
                return malformed("its binding");
        for (size_t i = 0; i < binding.len; i++) {
                const char c = binding.ptr[i];

                if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
                        return malformed("its binding");
        }
        return NULL;
}

struct error *aws_sign_request_put(struct buf *out, struct str challenge, struct str binding)
{
        TRY(check_request(challenge, binding));
        buf_put_u8(out, VERSION);
        buf_put(out, challenge);
        buf_put(out, binding);
        return buf_finish(out, "request to sign for AWS");
}

struct error *aws_sign_request_parse(struct str packet, struct aws_sign_request *ret)
{
        if (packet.len != AWS_SIGN_REQUEST_SIZE)
                return malformed("its length");
        if (packet.ptr[0] != VERSION)
                return malformed("its version");
        const struct aws_sign_request r = {
                .challenge = str_of_bytes(packet.ptr + 1, AWS_SIGN_CHALLENGE),
                .binding = str_of_bytes(packet.ptr + 1 + AWS_SIGN_CHALLENGE, AWS_SIGN_BINDING),
        };
        TRY(check_request(r.challenge, r.binding));
        *ret = r;
        return NULL;
}

/* ---- answer -------------------------------------------------------------------------------------- */

/* In the order of the packet, after the request. */
static const struct {
        size_t offset, max;
} texts[] = {
        { offsetof(struct aws_sign_answer, source), AWS_SIGN_TEXT },
        { offsetof(struct aws_sign_answer, region), AWS_SIGN_SHORT_TEXT },
        { offsetof(struct aws_sign_answer, region_source), AWS_SIGN_SHORT_TEXT },
        { offsetof(struct aws_sign_answer, sts_host), AWS_SIGN_SHORT_TEXT },
        { offsetof(struct aws_sign_answer, error), AWS_SIGN_TEXT },
        { offsetof(struct aws_sign_answer, hint), AWS_SIGN_TEXT },
        { offsetof(struct aws_sign_answer, cause), AWS_SIGN_TEXT },
};

static void put_text(struct buf *out, struct str text, size_t max)
{
        const size_t len = text.len < max ? text.len : max;

        buf_put_u16(out, (uint16_t)len);
        if (len > 0)
                buf_put(out, str_of_bytes(text.ptr, len));
}

void aws_sign_answer_put(struct buf *out, const struct aws_sign_answer *a)
{
        const size_t warnings = a->warning_count < AWS_SIGN_WARNINGS ? a->warning_count : AWS_SIGN_WARNINGS;

        buf_put_u8(out, VERSION);
        buf_put_u8(out, (uint8_t)a->code);
        buf_put_u8(out, (uint8_t)warnings);
        put_text(out, a->request, LIMIT_STS_REQUEST);
        for (size_t i = 0; i < ARRAY_LEN(texts); i++)
                put_text(out, *(const struct str *)(const void *)((const char *)a + texts[i].offset), texts[i].max);
        for (size_t i = 0; i < warnings; i++)
                put_text(out, a->warnings[i], AWS_SIGN_SHORT_TEXT);
}

static struct error *take_text(struct str *left, size_t max, struct str *ret)
{
        if (left->len < 2)
                return malformed("a text is cut");
        const size_t len = (size_t)(uint8_t)left->ptr[0] << 8 | (uint8_t)left->ptr[1];

        if (len > max)
                return malformed("a text over its limit");
        if (len > left->len - 2)
                return malformed("a text is cut");
        if (memchr(left->ptr + 2, '\0', len) != NULL)
                return malformed("a text with a NUL");
        *ret = str_of_bytes(left->ptr + 2, len);
        *left = str_of_bytes(left->ptr + 2 + len, left->len - 2 - len);
        return NULL;
}

struct error *aws_sign_answer_parse(struct str packet, struct aws_sign_answer *ret)
{
        struct aws_sign_answer a = { 0 };

        if (packet.len < 3)
                return malformed("its head is cut");
        if (packet.ptr[0] != VERSION)
                return malformed("its version");
        a.code = (uint8_t)packet.ptr[1];
        a.warning_count = (uint8_t)packet.ptr[2];
        if (a.code > ERROR_CODE_LAST)
                return malformed("its code");
        if (a.warning_count > AWS_SIGN_WARNINGS)
                return malformed("its number of warnings");

        struct str left = str_of_bytes(packet.ptr + 3, packet.len - 3);
        TRY(take_text(&left, LIMIT_STS_REQUEST, &a.request));
        for (size_t i = 0; i < ARRAY_LEN(texts); i++)
                TRY(take_text(&left, texts[i].max, (struct str *)(void *)((char *)&a + texts[i].offset)));
        for (size_t i = 0; i < a.warning_count; i++)
                TRY(take_text(&left, AWS_SIGN_SHORT_TEXT, &a.warnings[i]));
        if (left.len > 0)
                return malformed("something follows it");
        if ((a.code == 0) != (a.request.len > 0) || (a.code == 0) != (a.error.len == 0))
                return malformed("it is neither a signed request nor an error");
        *ret = a;
        return NULL;
}
