/* SPDX-License-Identifier: Apache-2.0 */
#include "recording/recording.h"

#include <stdlib.h>

#include "base/error_testing.h"
#include "base/mem.h"
#include "base/reader.h"
#include "recording/recording_internal.h"

static const struct recording_header header = {
        .columns = 80, .rows = 24, .started = { INT64_C(1700000000) * 1000000000 },
        .term = STR_INIT("xterm-256color"), .title = STR_INIT("root@web-1"),
};

/* The lines that were read, and the bytes that a terminal would get. */
struct replay {
        struct buf lines;
        struct buf shown;
        struct buf holes; /* "first+chunks/bytes " of each, "first+/bytes" at the end */
        bool has_ended, ends; /* verified; at all */
        struct duration lasted;
        struct error *fault;
};

static void replay_release(struct replay *p)
{
        buf_release(&p->lines);
        buf_release(&p->shown);
        buf_release(&p->holes);
        error_free(p->fault);
}

static void put_hole(struct buf *out, const struct recording_event *e)
{
        if (e->is_at_the_end)
                buf_printf(out, "%u+/%llu ", e->first_missing, (unsigned long long)e->missing_bytes);
        else
                buf_printf(out, "%u+%u/%llu ", e->first_missing, e->missing_chunks, (unsigned long long)e->missing_bytes);
}

static struct replay replay_of(struct str container, size_t step)
{
        struct replay p = { .lines = BUF_MAX(64 * MiB), .shown = BUF_MAX(64 * MiB), .holes = BUF_MAX(64 * KiB) };
        struct recording_reader *r = recording_reader_new();

        for (size_t at = 0; at < container.len + step && p.fault == NULL; at += step) {
                bool have = true;

                recording_feed(r, str_slice(container, at, step));
                if (at >= container.len)
                        recording_feed_end(r);
                while (have && p.fault == NULL) {
                        struct recording_event e;

                        p.fault = recording_next(r, &e, &have);
                        if (p.fault != NULL || !have)
                                break;
                        p.ends |= e.kind == RECORDING_END;
                        if (e.kind == RECORDING_END) {
                                p.has_ended = e.is_verified;
                                p.lasted = e.at;
                                continue;
                        }
                        if (e.kind == RECORDING_HOLE) {
                                put_hole(&p.holes, &e);
                                continue;
                        }
                        buf_put(&p.lines, e.line);
                        buf_put_char(&p.lines, '\n');
                        buf_put(&p.shown, e.bytes);
                }
        }
        recording_reader_free(r);
        return p;
}

static void assert_shown(const struct recording_writer *w, struct str expected)
{
        AUTO(replay) p = replay_of(recording_drain((struct recording_writer *)(uintptr_t)w), 1000);

        assert_null(p.fault);
        assert_true(p.has_ended);
        assert_int_equal(p.shown.len, expected.len);
        assert_memory_equal(p.shown.ptr, expected.ptr, expected.len);
}

static void sums_as_rfc_3720_does(void **state)
{
        uint8_t bytes[32];

        (void)state;
        memset(bytes, 0, sizeof bytes);
        assert_int_equal(crc32c(0, str_of_bytes(bytes, 32)), 0x8a9136aa);
        memset(bytes, 0xff, sizeof bytes);
        assert_int_equal(crc32c(0, str_of_bytes(bytes, 32)), 0x62a8ab43);
        for (uint8_t i = 0; i < 32; i++)
                bytes[i] = i;
        assert_int_equal(crc32c(0, str_of_bytes(bytes, 32)), 0x46dd794e);
        assert_int_equal(crc32c(crc32c(0, str_of_bytes(bytes, 13)), str_of_bytes(bytes + 13, 19)), 0x46dd794e);
}

static void writes_asciicast_lines(void **state)
{
        struct recording_writer *w = recording_writer_new(&header);

        (void)state;
        recording_output(w, MILLISECONDS(1500), STR("$ \x1b[1mls\x1b[0m\r\n\"q\" \\ \xc3\xa9 \xc2\x9b\x7f"));
        recording_resize(w, MILLISECONDS(2250), 120, 40);
        recording_output(w, SECONDS(60), STR("\xff\x80"));
        recording_finish(w, SECONDS(61));
        AUTO(replay) p = replay_of(recording_drain(w), 1);
        assert_null(p.fault);
        assert_true(p.has_ended);
        assert_int_equal(duration_ms(p.lasted), 61000);
        assert_string_equal(buf_c(&p.lines),
                            "{\"version\":2,\"width\":80,\"height\":24,\"timestamp\":1700000000,\"title\":\"root@web-1\","
                            "\"env\":{\"TERM\":\"xterm-256color\"}}\n"
                            "[1.500000,\"o\",\"$ \\u001b[1mls\\u001b[0m\\r\\n\\\"q\\\" \\\\ \xc3\xa9 \\u009b\\u007f\"]\n"
                            "[2.250000,\"r\",\"120x40\"]\n"
                            "[60.000000,\"o\",\"\\udcff\\udc80\"]\n");
        recording_writer_free(w);
}

static void keeps_every_byte_however_it_is_cut(void **state)
{
        AUTO(buf) bytes = BUF_MAX(1 * MiB);
        static const size_t steps[] = { 1, 2, 3, 5, 4095, 8192, 8193, 100000 };

        (void)state;
        for (unsigned i = 0; i < 256; i++)
                buf_put_u8(&bytes, (uint8_t)i);
        for (unsigned i = 0; i < 65536; i++)
                buf_put_u16(&bytes, (uint16_t)(i * 40503));
        buf_put_c(&bytes, "\xf0\x9f\x98\x80 \xed\xa0\x80 \xed\xb2\x80 \xf4\x90\x80\x80 \xc0\x80 \xe2\x82");
        for (size_t s = 0; s < ARRAY_LEN(steps); s++) {
                struct recording_writer *w = recording_writer_new(&header);

                for (size_t at = 0; at < bytes.len; at += steps[s])
                        recording_output(w, MILLISECONDS(at), str_slice(buf_str(&bytes), at, steps[s]));
                recording_finish(w, HOURS(1));
                assert_shown(w, buf_str(&bytes));
                recording_writer_free(w);
        }
}

static void waits_for_the_rest_of_a_character(void **state)
{
        struct recording_writer *w = recording_writer_new(&header);

        (void)state;
        recording_output(w, SECONDS(1), STR("a\xe2\x82"));
        recording_output(w, SECONDS(2), STR("\xac" "b\xe2"));
        recording_resize(w, SECONDS(3), 1, 2);
        recording_output(w, SECONDS(4), STR("\x82\xac"));
        recording_finish(w, SECONDS(4));
        AUTO(replay) p = replay_of(recording_drain(w), 99);
        assert_non_null(strstr(buf_c(&p.lines), "[1.000000,\"o\",\"a\"]\n"
                                                "[2.000000,\"o\",\"\xe2\x82\xac\"]\n"
                                                "[2.000000,\"o\",\"b\"]\n"
                                                "[3.000000,\"o\",\"\\udce2\"]\n"
                                                "[3.000000,\"r\",\"1x2\"]\n"
                                                "[4.000000,\"o\",\"\\udc82\\udcac\"]\n"));
        recording_writer_free(w);
}

/* A recording of some chunks, in fresh memory. */
static struct buf a_recording(void)
{
        struct recording_writer *w = recording_writer_new(&header);
        struct buf copy = BUF_MAX(1 * MiB);

        for (int i = 0; i < 5; i++) {
                recording_output(w, SECONDS(i), STR("some output\r\n"));
                recording_flush(w);
        }
        recording_finish(w, SECONDS(5));
        buf_put(&copy, recording_drain(w));
        recording_writer_free(w);
        return copy;
}

/* The same with a digit in each chunk. */
static struct buf a_numbered_recording(void)
{
        struct recording_writer *w = recording_writer_new(&header);
        struct buf copy = BUF_MAX(1 * MiB);

        recording_flush(w);
        for (char digit = '1'; digit <= '5'; digit++) {
                recording_output(w, SECONDS(digit - '0'), (struct str){ &digit, 1 });
                recording_flush(w);
        }
        recording_finish(w, SECONDS(6));
        buf_put(&copy, recording_drain(w));
        recording_writer_free(w);
        return copy;
}

/* The offset of chunk `number` in a_recording(). */
static size_t chunk_at(const struct buf *container, unsigned number)
{
        size_t at = MAGIC_LEN;

        while (number-- > 0) {
                struct reader r = reader_over(str_slice(buf_str(container), at, container->len));

                at += CHUNK_HEADER + reader_u32(&r);
        }
        return at;
}

enum damage { FLIP, ZERO, REMOVE, INSERT, CUT };

static void damage(struct buf *c, enum damage how, size_t at, size_t len)
{
        switch (how) {
        case FLIP:
                c->ptr[at] ^= 0x41;
                break;
        case ZERO:
                memset(c->ptr + at, 0, len);
                break;
        case REMOVE:
                memmove(c->ptr + at, c->ptr + at + len, c->len - at - len);
                c->len -= len;
                break;
        case INSERT:
                assert_non_null(buf_extend(c, len));
                memmove(c->ptr + at + len, c->ptr + at, c->len - len - at);
                memset(c->ptr + at, 'x', len);
                break;
        case CUT:
                c->len = at;
        }
}

/* Chunk 0 has the header and is 126 bytes, 1 to 5 have a digit and are 32, the end is 53. */
static void skips_damaged_chunks(void **state)
{
        enum { HEADER = 126, LINE = 32, END = 53 };
        static const struct {
                const char *name;
                enum damage how;
                unsigned chunk;
                size_t from, len; /* in the chunk */
                const char *holes, *shown;
                bool has_end; /* the last one reached; not verified after a hole */
        } table[] = {
                { "a byte of a body", FLIP, 2, 20, 1, "2+1/32 ", "1345", true },
                { "a checksum", FLIP, 3, 5, 1, "3+1/32 ", "1245", true },
                { "a number", FLIP, 3, 8, 1, "3+1/32 ", "1245", true },
                { "a kind", FLIP, 3, 12, 1, "3+1/32 ", "1245", true },
                { "a length", FLIP, 3, 3, 1, "3+1/32 ", "1245", true },
                { "a large length", FLIP, 3, 1, 1, "3+1/32 ", "1245", true },
                { "the first chunk", FLIP, 0, 30, 1, "0+1/126 ", "12345", true },
                { "the last chunk of lines", FLIP, 5, 20, 1, "5+1/32 ", "1234", true },
                { "the end", FLIP, 6, 20, 1, "6+/53 ", "12345", false },
                { "two chunks and a half", ZERO, 2, 0, 80, "2+3/96 ", "15", true },
                { "a byte less", REMOVE, 2, 20, 1, "2+1/31 ", "1345", true },
                { "a chunk less", REMOVE, 2, 0, LINE, "2+1/0 ", "1345", true },
                { "bytes between", INSERT, 2, 0, 5, "2+0/5 ", "12345", true },
                { "bytes in a body", INSERT, 2, 20, 500, "2+1/532 ", "1345", true },
                { "torn in a body", CUT, 4, 20, 0, "", "123", false },
                { "torn in a header", CUT, 4, 3, 0, "", "123", false },
                { "torn at a chunk", CUT, 4, 0, 0, "", "123", false },
                { "zeros to the end", ZERO, 4, 0, 2 * LINE + END, "", "123", false },
                { "the begin of a chunk, and zeros", ZERO, 5, 20, LINE - 20 + END, "", "1234", false },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(table); i++) {
                for (size_t step = 1; step < 4000; step = step * 3 + 1) {
                        AUTO(buf) c = a_numbered_recording();

                        assert_int_equal(chunk_at(&c, 1), MAGIC_LEN + HEADER);
                        damage(&c, table[i].how, chunk_at(&c, table[i].chunk) + table[i].from, table[i].len);
                        AUTO(replay) p = replay_of(buf_str(&c), step);
                        if (p.fault != NULL || strcmp(buf_c(&p.holes), table[i].holes) != 0 || strcmp(buf_c(&p.shown), table[i].shown) != 0)
                                fail_msg("%s, by %zu: holes '%s', shown '%s', %s", table[i].name, step, buf_c(&p.holes), buf_c(&p.shown),
                                         p.fault == NULL ? "" : p.fault->what);
                        assert_false(p.has_ended); /* verified */
                        assert_int_equal(p.ends, table[i].has_end);
                }
        }
}

static void finds_a_recording_behind_a_damaged_beginning(void **state)
{
        AUTO(buf) c = a_numbered_recording();

        (void)state;
        c.ptr[3] ^= 1;
        AUTO(replay) p = replay_of(buf_str(&c), 1000);
        assert_null(p.fault);
        assert_string_equal(buf_c(&p.holes), "0+0/8 ");
        assert_string_equal(buf_c(&p.shown), "12345");
        AUTO(replay) none = replay_of(STR("#!/bin/sh\necho this is no recording, however long it is\n"), 7);
        assert_int_equal(none.fault->code, ERROR_DATA_LOSS);
}

/* Many headers with large lengths: each would be hashed to its end. */
static void gives_up_where_a_search_would_take_too_long(void **state)
{
        AUTO(buf) c = BUF_MAX(4 * MiB);
        AUTO(buf) head = BUF_MAX(CHUNK_HEADER);

        (void)state;
        buf_put_u32(&head, RECORDING_CHUNK_MAX);
        buf_put_u32(&head, 0);
        buf_put_u32(&head, 7);
        buf_put_u8(&head, 'd');
        buf_put(&c, STR(RECORDING_MAGIC));
        while (c.len < 3 * MiB)
                buf_put(&c, buf_str(&head));
        AUTO(replay) p = replay_of(buf_str(&c), MiB);
        assert_int_equal(p.fault->code, ERROR_RESOURCE_EXHAUSTED);
}

static void marks_a_hole_with_as_many_bytes(void **state)
{
        static const size_t sizes[] = { 14, 15, 1000, RECORDING_HOLE_MOST, RECORDING_HOLE_MOST + 1, RECORDING_HOLE_MOST + 13, RECORDING_HOLE_MOST + 14,
                                        5 * RECORDING_HOLE_MOST + 7 };

        (void)state;
        assert_int_equal(recording_hole_part(RECORDING_HOLE_MIN - 1), 0);
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
                AUTO(buf) c = a_numbered_recording(), marked = BUF_MAX(1 * MiB);
                size_t from = chunk_at(&c, 2), to = chunk_at(&c, 4);
                struct recording_check check = { 0 };

                buf_put(&marked, str_slice(buf_str(&c), 0, from));
                while (marked.len < from + sizes[i])
                        recording_put_hole(&marked, recording_hole_part(from + sizes[i] - marked.len), 4);
                assert_int_equal(marked.len, from + sizes[i]);
                buf_put(&marked, str_slice(buf_str(&c), to, c.len));
                assert_null(recording_check_feed(&check, buf_str(&marked)));
                assert_true(check.has_ended);
                assert_int_equal(check.missing_chunks, 2);
                assert_int_equal(check.missing_bytes, sizes[i]);
                AUTO(replay) p = replay_of(buf_str(&marked), 1000);
                assert_null(p.fault);
                assert_string_equal(buf_c(&p.shown), "145");
        }
}

static void finds_every_flipped_bit(void **state)
{
        AUTO(buf) container = a_recording();

        (void)state;
        for (size_t bit = 0; bit < container.len * 8; bit++) {
                struct recording_check check = { 0 };

                container.ptr[bit / 8] ^= (char)(1 << bit % 8);
                AUTO(replay) p = replay_of(buf_str(&container), container.len);
                AUTO_PTR(error) err = recording_check_feed(&check, buf_str(&container));
                assert_false(p.has_ended && p.fault == NULL);
                /* A length that became larger makes the checker wait for bytes that do not arrive. */
                assert_true(err != NULL || !check.has_ended);
                container.ptr[bit / 8] ^= (char)(1 << bit % 8);
        }
}

static void finds_the_whole_part_of_a_torn_recording(void **state)
{
        AUTO(buf) container = a_recording();
        uint64_t whole = 0;

        (void)state;
        for (size_t len = 0; len <= container.len; len++) {
                struct recording_check check = { 0 };

                for (size_t at = 0; at < len; at++)
                        assert_null(recording_check_feed(&check, str_slice(buf_str(&container), at, 1)));
                assert_true(check.whole >= whole && check.whole <= len);
                assert_int_equal(check.has_ended, len == container.len);
                whole = check.whole;
                AUTO(replay) p = replay_of(str_slice(buf_str(&container), 0, (size_t)whole), 13);
                assert_null(p.fault);
        }
        assert_int_equal(whole, container.len);
}

static void refuses_bytes_after_the_end(void **state)
{
        AUTO(buf) container = a_recording();
        struct recording_check check = { 0 };

        (void)state;
        buf_put_char(&container, 'x');
        assert_failed(recording_check_feed(&check, buf_str(&container)));
        AUTO(replay) p = replay_of(buf_str(&container), 9);
        assert_non_null(p.fault);
}

static void put_chunk(struct buf *out, uint32_t number, char kind, struct str body)
{
        AUTO(buf) summed = BUF_MAX(64 * KiB);

        buf_put_u32(&summed, number);
        buf_put_u8(&summed, (uint8_t)kind);
        buf_put(&summed, body);
        buf_put_u32(out, (uint32_t)body.len);
        buf_put_u32(out, crc32c(0, buf_str(&summed)));
        buf_put(out, buf_str(&summed));
}

static void refuses_lines_that_no_writer_makes(void **state)
{
        static const char head[] = "{\"version\":2,\"width\":80,\"height\":24,\"timestamp\":17,\"title\":\"\",\"env\":{\"TERM\":\"\"}}\n";
        static const char *const lines[] = {
                "", "[]", "[1,\"o\",\"x\"]", "[1.0,\"o\",\"x\"]", "[1.000000,\"o\",\"x\"", "[1.000000,\"o\",\"x\"] ",
                "[1.000000,\"i\",\"x\"]", "[1.000000,\"o\",\"\x1b[2J\"]", "[1.000000,\"o\",\"\xff\"]",
                "[1.000000,\"o\",\"\xc2\x9b\"]", "[1.000000,\"o\",\"\\ud83d\\ude00\"]", "[1.000000,\"o\",\"\\u00e9\"]",
                "[1.000000,\"o\",\"\\udc7f\"]", "[1.000000,\"o\",\"\\x41\"]", "[1.000000,\"o\",\"\\u00\"]",
                "[1.000000,\"o\",\"\\", "[-1.000000,\"o\",\"x\"]", "[99999999999999999999.000000,\"o\",\"x\"]",
                "[1.000000,\"r\",\"x\"]", "[1.000000,\"r\",\"99999999999x1\"]", "[1.0000000,\"r\",\"1x1\"]",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
                AUTO(buf) container = BUF_MAX(64 * KiB);
                AUTO(buf) body = BUF_MAX(4 * KiB);

                buf_put(&container, STR(RECORDING_MAGIC));
                put_chunk(&container, 0, 'd', str_of(head));
                buf_printf(&body, "%s\n", lines[i]);
                put_chunk(&container, 1, 'd', buf_str(&body));
                AUTO(replay) p = replay_of(buf_str(&container), 4096);
                if (p.fault == NULL)
                        fail_msg("%s was read", lines[i]);
                assert_int_equal(p.fault->code, ERROR_DATA_LOSS);
        }
}

static void refuses_time_that_goes_back(void **state)
{
        AUTO(buf) container = BUF_MAX(64 * KiB);

        (void)state;
        buf_put(&container, STR(RECORDING_MAGIC));
        put_chunk(&container, 0, 'd',
                  STR("{\"version\":2,\"width\":80,\"height\":24,\"timestamp\":17,\"title\":\"\",\"env\":{\"TERM\":\"\"}}\n"
                      "[2.000000,\"o\",\"x\"]\n[1.000000,\"o\",\"x\"]\n"));
        AUTO(replay) p = replay_of(buf_str(&container), 4096);
        assert_non_null(p.fault);
}

static void gives_whole_chunks_piece_by_piece(void **state)
{
        struct recording_writer *w = recording_writer_new(&header);
        struct recording_check check = { 0 };
        AUTO(buf) flood = BUF_MAX(1 * MiB);

        (void)state;
        memset(buf_extend(&flood, 1 * MiB), 'y', 1 * MiB);
        recording_output(w, SECONDS(1), buf_str(&flood));
        recording_finish(w, SECONDS(2));
        while (recording_drain(w).len > 0) {
                struct str part = str_slice(recording_drain(w), 0, 777);

                assert_null(recording_check_feed(&check, part));
                recording_taken(w, part.len);
        }
        assert_true(check.has_ended);
        recording_writer_free(w);
}

static void link_of(struct str container, const char *session_id, size_t step, uint8_t *ret)
{
        struct recording_chain chain;

        recording_chain_begin(&chain, str_of(session_id));
        for (size_t at = 0; at < container.len; at += step)
                recording_chain_feed(&chain, str_slice(container, at, step));
        assert_int_equal(chain.whole, container.len);
        memcpy(ret, chain.link, RECORDING_LINK_LEN);
        recording_chain_release(&chain);
}

/* Computed with sha256sum from the bytes. */
static void chains_chunks_to_a_session(void **state)
{
        static const uint8_t empty[] = {
                0xcf, 0x0a, 0xc4, 0x93, 0x74, 0xe1, 0xb1, 0xf5, 0xbc, 0x64, 0xae, 0x6a, 0x9e, 0x2b, 0x6a, 0x73,
                0xb9, 0x76, 0xf0, 0x82, 0x05, 0x40, 0x7d, 0x97, 0x61, 0x17, 0x9c, 0x72, 0x82, 0xf0, 0xa0, 0x3c,
        }, one[] = {
                0x2c, 0xb4, 0xb2, 0xb1, 0x9d, 0x4a, 0x6f, 0x5a, 0xdd, 0x3e, 0xf2, 0xf3, 0xa9, 0x2d, 0xb2, 0x76,
                0x23, 0x1b, 0x3d, 0xec, 0x22, 0xc9, 0xd6, 0x25, 0x9d, 0x28, 0xc7, 0xf4, 0x76, 0x3a, 0x3b, 0xd1,
        };
        uint8_t link[RECORDING_LINK_LEN], other[RECORDING_LINK_LEN];
        AUTO(buf) container = BUF_MAX(64 * KiB);

        (void)state;
        buf_put(&container, STR(RECORDING_MAGIC));
        link_of(buf_str(&container), "s", 1, link);
        assert_memory_equal(link, empty, sizeof link);
        buf_put(&container, STR("\0\0\0\1crc.\0\0\0\0dx"));
        for (size_t step = 1; step < 30; step++) {
                link_of(buf_str(&container), "s", step, link);
                assert_memory_equal(link, one, sizeof link);
        }
        link_of(buf_str(&container), "t", 1, other);
        assert_memory_not_equal(link, other, sizeof link);
}

static void forgets_a_chunk_that_is_cut(void **state)
{
        struct recording_chain chain;
        AUTO(buf) container = BUF_MAX(64 * KiB);
        uint8_t link[RECORDING_LINK_LEN];

        (void)state;
        buf_put(&container, STR(RECORDING_MAGIC "\0\0\0\1crc.\0\0\0\0dx"));
        recording_chain_begin(&chain, STR("s"));
        recording_chain_feed(&chain, buf_str(&container));
        memcpy(link, chain.link, sizeof link);
        recording_chain_feed(&chain, STR("\0\0\1\0crc"));
        assert_int_equal(chain.whole, container.len);
        recording_chain_cut(&chain);
        recording_chain_feed(&chain, STR("\0\0\0\1crc.\0\0\0\1dy"));
        assert_int_equal(chain.chunks, 2);
        assert_int_equal(chain.whole, container.len + 14);
        assert_memory_equal(chain.first, link, sizeof link);
        recording_chain_release(&chain);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(sums_as_rfc_3720_does),
                cmocka_unit_test(writes_asciicast_lines),
                cmocka_unit_test(keeps_every_byte_however_it_is_cut),
                cmocka_unit_test(waits_for_the_rest_of_a_character),
                cmocka_unit_test(skips_damaged_chunks),
                cmocka_unit_test(finds_a_recording_behind_a_damaged_beginning),
                cmocka_unit_test(gives_up_where_a_search_would_take_too_long),
                cmocka_unit_test(marks_a_hole_with_as_many_bytes),
                cmocka_unit_test(finds_every_flipped_bit),
                cmocka_unit_test(finds_the_whole_part_of_a_torn_recording),
                cmocka_unit_test(refuses_bytes_after_the_end),
                cmocka_unit_test(refuses_lines_that_no_writer_makes),
                cmocka_unit_test(refuses_time_that_goes_back),
                cmocka_unit_test(gives_whole_chunks_piece_by_piece),
                cmocka_unit_test(chains_chunks_to_a_session),
                cmocka_unit_test(forgets_a_chunk_that_is_cut),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
