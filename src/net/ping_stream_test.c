/* SPDX-License-Identifier: Apache-2.0 */
#include "net/ping_stream.h"

#include "base/limits.h"
#include "net/memory_stream.h"
#include "net/net_testing.h"

/* A stream of frames on a clock that a test moves, and the other end of its connection in bytes. */
struct fixture {
        struct fake_clock clock;
        struct loop loop;
        struct ear raw, framed;
};

static void set_up(struct fixture *f, size_t most_read)
{
        struct stream *there;

        *f = (struct fixture){ 0 };
        fake_clock_init(&f->clock, 1700000000);
        assert_null(loop_init(&f->loop, &f->clock.clock));
        memory_stream_pair(&f->loop, &f->raw.stream, &there);
        memory_stream_limit_reads(there, most_read);
        ear_listen(&f->raw, f->raw.stream);
        stream_read(f->raw.stream, true);
        ear_listen(&f->framed, ping_stream(&f->loop, there));
        stream_read(f->framed.stream, true);
}

static void tear_down(struct fixture *f)
{
        ear_release(&f->raw);
        ear_release(&f->framed);
        run_a_while(&f->loop);
        loop_release(&f->loop);
}

static const struct {
        const char *name;
        struct str bytes; /* followed by the end of the connection */
        const char *payload;
        int code; /* of the error; 0: an orderly end */
} inputs[] = {
        { "nothing", STR_INIT(""), "", 0 },
        { "a frame", STR_INIT("\0\0\0\3abc"), "abc", 0 },
        { "two frames with a ping between", STR_INIT("\0\0\0\1a\0\0\0\0\0\0\0\2bc"), "abc", 0 },
        { "pings only", STR_INIT("\0\0\0\0\0\0\0\0\0\0\0\0"), "", 0 },
        { "half a length", STR_INIT("\0\0\0\1a\0\0"), "a", ERROR_UNAVAILABLE },
        { "a length alone", STR_INIT("\0\0\0\1"), "", ERROR_UNAVAILABLE },
        { "half a frame", STR_INIT("\0\0\0\3ab"), "ab", ERROR_UNAVAILABLE },
        { "the longest frame, cut", STR_INIT("\0\x10\0\0a"), "a", ERROR_UNAVAILABLE },
        { "a frame that is too long", STR_INIT("\0\0\0\1a\0\x10\0\1b"), "a", ERROR_INVALID_ARGUMENT },
        { "the largest length", STR_INIT("\xff\xff\xff\xff"), "", ERROR_INVALID_ARGUMENT },
        { "TLS without frames", STR_INIT("\x16\x03\x01\x02\0"), "", ERROR_INVALID_ARGUMENT },
};

static void reads_frames_as_the_table_says(void **state)
{
        (void)state;
        for (size_t i = 0; i < 2 * ARRAY_LEN(inputs); i++) {
                size_t n = i / 2;
                struct fixture f;

                set_up(&f, i % 2 == 0 ? LOOP_BUFFER : 1);
                stream_write(f.raw.stream, inputs[n].bytes);
                stream_shutdown(f.raw.stream);
                run_a_while(&f.loop);
                int code = f.framed.err == NULL ? 0 : (int)f.framed.err->code;
                if (!str_equal(buf_str(&f.framed.received), str_of(inputs[n].payload)) || f.framed.ends != 1 || code != inputs[n].code)
                        fail_msg("%s: '%s', %d ends, code %d", inputs[n].name, buf_c(&f.framed.received), f.framed.ends, code);
                tear_down(&f);
        }
}

static void two_ends_understand_each_other(void **state)
{
        AUTO(buf) big = BUF_MAX(1 * MiB);
        struct fixture f;
        struct ear peer = { 0 };

        (void)state;
        memset(buf_extend(&big, 300 * KiB), 'x', 300 * KiB);
        set_up(&f, LOOP_BUFFER);
        ear_listen(&peer, ping_stream(&f.loop, f.raw.stream));
        f.raw.stream = NULL;
        stream_read(peer.stream, true);
        stream_write(peer.stream, STR(""));
        stream_write(peer.stream, buf_str(&big));
        stream_write(f.framed.stream, STR("answer"));
        RUN_UNTIL(&f.loop, f.framed.received.len == 300 * KiB && peer.received.len == 6);
        stream_shutdown(peer.stream);
        stream_write(peer.stream, STR("too late"));
        RUN_UNTIL(&f.loop, f.framed.ends == 1);
        assert_null(f.framed.err);
        assert_int_equal(f.framed.received.len, 300 * KiB);
        ear_release(&peer);
        tear_down(&f);
}

static void a_ping_is_sent_at_an_interval(void **state)
{
        struct fixture f;

        (void)state;
        set_up(&f, LOOP_BUFFER);
        stream_write(f.framed.stream, STR("abc"));
        for (int i = 0; i < 2; i++) {
                run_a_while(&f.loop);
                loop_advance(&f.loop, &f.clock, MILLISECONDS(TIMEOUT_UPGRADE_KEEPALIVE + 1));
        }
        run_a_while(&f.loop);
        assert_int_equal(f.raw.received.len, 15);
        assert_memory_equal(f.raw.received.ptr, "\0\0\0\3abc\0\0\0\0\0\0\0\0", 15);
        tear_down(&f);
}

static void pings_wait_for_a_peer_that_does_not_read(void **state)
{
        struct fixture f;

        (void)state;
        set_up(&f, LOOP_BUFFER);
        stream_read(f.raw.stream, false);
        stream_write(f.framed.stream, STR("abc"));
        size_t before = stream_pending(f.framed.stream);
        assert_int_equal(before, 7);
        for (int i = 0; i < 3; i++) {
                loop_advance(&f.loop, &f.clock, MILLISECONDS(TIMEOUT_UPGRADE_KEEPALIVE + 1));
                run_a_while(&f.loop);
        }
        assert_int_equal(stream_pending(f.framed.stream), before);
        tear_down(&f);
}

static void a_paused_reader_holds_the_writer_back(void **state)
{
        AUTO(buf) big = BUF_MAX(1 * MiB);
        struct fixture f;

        (void)state;
        set_up(&f, 8 * KiB);
        f.framed.pause_on_read = true;
        buf_put(&big, STR("\0\x0f\xff\xfc"));
        memset(buf_extend(&big, 1 * MiB - 4), 'x', 1 * MiB - 4);
        stream_write(f.raw.stream, buf_str(&big));
        run_a_while(&f.loop);
        assert_in_range(f.framed.received.len, 1, 8 * KiB);
        f.framed.pause_on_read = false;
        stream_read(f.framed.stream, true);
        RUN_UNTIL(&f.loop, f.framed.received.len == 1 * MiB - 4);
        tear_down(&f);
}

static void closing_inside_a_callback_is_allowed(void **state)
{
        (void)state;
        for (int i = 0; i < 2; i++) {
                struct fixture f;

                set_up(&f, LOOP_BUFFER);
                f.framed.close_on_read = i == 0;
                f.framed.close_on_end = i == 1;
                stream_write(f.raw.stream, STR("\0\0\0\1a\xff\xff\xff\xff"));
                run_a_while(&f.loop);
                assert_null(f.framed.stream);
                assert_int_equal(f.framed.ends, i);
                tear_down(&f);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads_frames_as_the_table_says),
                cmocka_unit_test(two_ends_understand_each_other),
                cmocka_unit_test(a_ping_is_sent_at_an_interval),
                cmocka_unit_test(pings_wait_for_a_peer_that_does_not_read),
                cmocka_unit_test(a_paused_reader_holds_the_writer_back),
                cmocka_unit_test(closing_inside_a_callback_is_allowed),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
