/* SPDX-License-Identifier: Apache-2.0 */
#include "api/child_message.h"

#include <string.h>

#include "services/services.h"

unsigned child_message_right(enum child_message_kind kind)
{
        static const unsigned rights[CHILD_MESSAGE_KINDS] = {
                [CHILD_SENT_SSHD_START] = SERVICE_REQUEST_SSHD,
                [CHILD_SENT_SSHD_STOP] = SERVICE_REQUEST_SSHD,
                [CHILD_SENT_HELPER_CHECK] = SERVICE_REQUEST_SSHD,
                [CHILD_SENT_AWS_SIGN] = SERVICE_REQUEST_AWS_SIGN,
                [CHILD_SENT_HOST_ID] = SERVICE_REQUEST_HOST_ID,
                [CHILD_SENT_STATUS] = SERVICE_REQUEST_STATUS,
        };

        return rights[kind];
}

/* ---- writing ------------------------------------------------------------------------------------- */

static size_t clipped(const char *text, size_t max)
{
        return text == NULL ? 0 : strnlen(text, max);
}

static void put_number(struct buf *out, uint64_t value, size_t size)
{
        for (size_t i = 0; i < size; i++) {
                char byte = (char)(value >> (8 * i));

                buf_put(out, str_of_bytes(&byte, 1));
        }
}

static void put_text(struct buf *out, const char *text, size_t len)
{
        if (len > 0)
                buf_put(out, str_of_bytes(text, len));
        buf_put(out, str_of_bytes("", 1));
}

void child_message_put(struct buf *out, const struct child_message *m)
{
        const size_t name = clipped(m->name, CHILD_MESSAGE_NAME), text = clipped(m->text, CHILD_MESSAGE_TEXT);
        const size_t hint = clipped(m->hint, CHILD_MESSAGE_HINT);

        put_number(out, (uint64_t)m->kind, 1);
        put_number(out, name, 1);
        put_number(out, text, 2);
        put_number(out, hint, 2);
        put_number(out, 0, 2);
        put_number(out, (uint64_t)m->number, 8);
        put_text(out, m->name, name);
        put_text(out, m->text, text);
        put_text(out, m->hint, hint);
}

/* ---- reading ------------------------------------------------------------------------------------- */

static uint64_t number_at(struct str packet, size_t offset, size_t size)
{
        uint64_t value = 0;

        for (size_t i = 0; i < size; i++)
                value |= (uint64_t)(uint8_t)packet.ptr[offset + i] << (8 * i);
        return value;
}

static bool is_text(const char *at, size_t len)
{
        return memchr(at, '\0', len + 1) == at + len;
}

static struct error *malformed(const char *what)
{
        return error_new(ERROR_INVALID_ARGUMENT, "a message of a service is malformed: %s", what);
}

struct error *child_message_parse(struct str packet, struct child_message *ret)
{
        if (packet.len < CHILD_MESSAGE_HEAD)
                return malformed("its head is cut");
        const uint64_t kind = number_at(packet, 0, 1);
        const size_t name = (size_t)number_at(packet, 1, 1), text = (size_t)number_at(packet, 2, 2);
        const size_t hint = (size_t)number_at(packet, 4, 2);

        if (kind < CHILD_SENT_READY || kind >= CHILD_MESSAGE_KINDS || number_at(packet, 6, 2) != 0)
                return malformed("its kind");
        if (name > CHILD_MESSAGE_NAME || text > CHILD_MESSAGE_TEXT || hint > CHILD_MESSAGE_HINT)
                return malformed("a text over its limit");
        if (packet.len != CHILD_MESSAGE_HEAD + name + text + hint + 3)
                return malformed("its length");
        const struct child_message m = {
                .kind = (enum child_message_kind)kind,
                .number = (int64_t)number_at(packet, 8, 8),
                .name = packet.ptr + CHILD_MESSAGE_HEAD,
                .text = packet.ptr + CHILD_MESSAGE_HEAD + name + 1,
                .hint = packet.ptr + CHILD_MESSAGE_HEAD + name + 1 + text + 1,
        };
        if (!is_text(m.name, name) || !is_text(m.text, text) || !is_text(m.hint, hint))
                return malformed("a text whose length does not match");
        *ret = m;
        return NULL;
}
