/* SPDX-License-Identifier: Apache-2.0 */
#include "client/fd_stream.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error_testing.h"
#include "net/net_testing.h"

struct ends {
        struct loop loop;
        struct ear ear;
        int to, from; /* the test's: it writes, it reads */
};

static void begin(struct ends *e)
{
        int in[2], out[2];
        struct stream *s = NULL;

        *e = (struct ends){ 0 };
        assert_null(loop_init(&e->loop, NULL));
        assert_int_equal(pipe2(in, O_CLOEXEC), 0);
        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        e->to = in[1];
        e->from = out[0];
        assert_null(fd_stream_new(&e->loop, in[0], out[1], &s));
        ear_listen(&e->ear, s);
}

static void end(struct ends *e)
{
        ear_release(&e->ear);
        if (e->to >= 0)
                close(e->to);
        if (e->from >= 0)
                close(e->from);
        loop_release(&e->loop);
}

static void reads_only_on_demand_and_reports_the_end(void **state)
{
        struct ends e;

        (void)state;
        begin(&e);
        assert_int_equal(write(e.to, "hello", 5), 5);
        run_a_while(&e.loop);
        assert_int_equal(e.ear.received.len, 0);
        stream_read(e.ear.stream, true);
        RUN_UNTIL(&e.loop, e.ear.received.len > 0);
        assert_received(&e.ear, "hello");
        close(e.to);
        e.to = -1;
        RUN_UNTIL(&e.loop, e.ear.ends);
        assert_null(e.ear.err);
        end(&e);
}

/* More than any pipe takes at once. */
enum { MUCH = 8 * MiB };

static size_t drain(int fd, size_t most)
{
        static char room[64 * KiB];
        size_t got = 0;

        while (got < most) {
                ssize_t n = read(fd, room, sizeof room);
                if (n <= 0)
                        break;
                for (ssize_t i = 0; i < n; i++)
                        assert_int_equal((unsigned char)room[i], (got + (size_t)i) % 251);
                got += (size_t)n;
        }
        return got;
}

static struct str pattern(void)
{
        static char bytes[MUCH];

        for (size_t i = 0; i < sizeof bytes; i++)
                bytes[i] = (char)(unsigned char)(i % 251);
        return str_of_bytes(bytes, sizeof bytes);
}

static void accepts_all_bytes_and_reports_when_they_are_written(void **state)
{
        struct ends e;
        size_t got = 0;
        struct str much = pattern();

        (void)state;
        begin(&e);
        fcntl(e.from, F_SETFL, O_NONBLOCK);
        stream_write(e.ear.stream, much);
        assert_true(stream_pending(e.ear.stream) > 0);
        stream_shutdown(e.ear.stream);
        AUTO(buf) all = BUF_MAX(MUCH);
        while (got < MUCH) {
                char *at = buf_extend(&all, MUCH - got);
                ssize_t n = read(e.from, at, MUCH - got);
                all.len = got += n > 0 ? (size_t)n : 0;
                uv_run(&e.loop.uv, UV_RUN_NOWAIT);
        }
        assert_memory_equal(all.ptr, much.ptr, MUCH);
        RUN_UNTIL(&e.loop, e.ear.drains);
        char more;
        assert_int_equal(read(e.from, &more, 1), 0); /* the end was passed on */
        end(&e);
}

static void breaks_when_the_reader_closes(void **state)
{
        struct ends e;

        (void)state;
        begin(&e);
        close(e.from);
        e.from = -1;
        e.ear.in_call = true;
        stream_write(e.ear.stream, STR("hello"));
        e.ear.in_call = false;
        RUN_UNTIL(&e.loop, e.ear.ends);
        assert_non_null(e.ear.err);
        assert_int_equal(e.ear.err->code, ERROR_UNAVAILABLE);
        end(&e);
}

static void a_reader_that_closes_after_the_end_empties_the_queue(void **state)
{
        struct ends e;

        (void)state;
        begin(&e);
        stream_read(e.ear.stream, true);
        close(e.to);
        e.to = -1;
        RUN_UNTIL(&e.loop, e.ear.ends);
        stream_write(e.ear.stream, pattern());
        assert_true(stream_pending(e.ear.stream) > 0);
        close(e.from);
        e.from = -1;
        RUN_UNTIL(&e.loop, e.ear.drains == 1);
        stream_write(e.ear.stream, STR("hello"));
        run_a_while(&e.loop);
        assert_int_equal(e.ear.drains, 1);
        assert_null(e.ear.err);
        end(&e);
}

static void sends_pending_bytes_after_it_was_closed(void **state)
{
        struct ends e;

        (void)state;
        begin(&e);
        stream_write(e.ear.stream, pattern());
        stream_close(e.ear.stream);
        e.ear.stream = NULL;
        pid_t child = fork(); /* reads while the loop writes */
        if (child == 0)
                _exit(drain(e.from, MUCH) == MUCH ? 0 : 1);
        close(e.from);
        e.from = -1;
        loop_run(&e.loop);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        end(&e);
}

static void refuses_files_which_cannot_be_waited_for(void **state)
{
        struct loop loop;
        struct stream *s = NULL;
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        (void)state;
        assert_null(loop_init(&loop, NULL));
        assert_code(fd_stream_new(&loop, null, null, &s), ERROR_FAILED_PRECONDITION);
        close(null);
        loop_release(&loop);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads_only_on_demand_and_reports_the_end),
                cmocka_unit_test(accepts_all_bytes_and_reports_when_they_are_written),
                cmocka_unit_test(breaks_when_the_reader_closes),
                cmocka_unit_test(a_reader_that_closes_after_the_end_empties_the_queue),
                cmocka_unit_test(sends_pending_bytes_after_it_was_closed),
                cmocka_unit_test(refuses_files_which_cannot_be_waited_for),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
