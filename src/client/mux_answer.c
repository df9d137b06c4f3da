/* SPDX-License-Identifier: Apache-2.0 */
#include "client/mux_answer.h"

#include "base/reader.h"

enum { LENGTH = 4, ALIVE_REPLY = 12, ALIVE_REQUEST = 0 };
#define MUX_ALIVE 0x80000005U

/* Cuts the next packet, without its length, off the front. OTHER: the length is outside of the limits. */
static enum mux_answer take_packet(struct str *bytes, size_t max, struct str *ret)
{
        struct reader length = reader_over(str_slice(*bytes, 0, LENGTH));

        if (bytes->len < LENGTH)
                return MUX_ANSWER_SHORT;
        size_t len = reader_u32(&length);
        if (len < 2 * sizeof(uint32_t) || len > max)
                return MUX_ANSWER_OTHER;
        if (bytes->len - LENGTH < len)
                return MUX_ANSWER_SHORT;
        *ret = str_slice(*bytes, LENGTH, len);
        *bytes = str_slice(*bytes, LENGTH + len, bytes->len);
        return MUX_ANSWER_ALIVE;
}

static bool is_hello(struct str packet)
{
        struct reader r = reader_over(packet);
        uint32_t type = reader_u32(&r), version = reader_u32(&r);

        while (reader_ok(&r) && r.rest.len > 0) { /* extensions, of which none is used */
                (void)reader_ssh_string(&r, MUX_PACKET_MAX);
                (void)reader_ssh_string(&r, MUX_PACKET_MAX);
        }
        return reader_ok(&r) && type == MUX_HELLO && version == MUX_VERSION;
}

static bool is_alive(struct str packet)
{
        struct reader r = reader_over(packet);
        uint32_t type = reader_u32(&r), request = reader_u32(&r);

        (void)reader_u32(&r); /* process ID of the master */
        return reader_ok(&r) && r.rest.len == 0 && type == MUX_ALIVE && request == ALIVE_REQUEST;
}

enum mux_answer mux_answer_read(struct str bytes)
{
        struct str packet;
        enum mux_answer is_whole = take_packet(&bytes, MUX_PACKET_MAX - LENGTH, &packet);

        if (is_whole != MUX_ANSWER_ALIVE)
                return is_whole;
        if (!is_hello(packet))
                return MUX_ANSWER_OTHER;
        is_whole = take_packet(&bytes, ALIVE_REPLY, &packet);
        if (is_whole != MUX_ANSWER_ALIVE)
                return is_whole;
        return is_alive(packet) && bytes.len == 0 ? MUX_ANSWER_ALIVE : MUX_ANSWER_OTHER;
}
