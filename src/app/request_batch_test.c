/* SPDX-License-Identifier: Apache-2.0 */
/* Records of requests with a stand-in for the spool. */
#include "app/request_batch.h"

#include <stdlib.h>

#include "agent/spool.h"
#include "base/error_testing.h"
#include "base/limits.h"
#include "loop/loop.h"

struct fixture {
        struct loop loop;
        struct fake_clock clock;
        struct request_batch *batch;
        struct buf written; /* by the spool */
        size_t writes, longest;
        unsigned requests;
};

static struct fixture *fixture;
static char recording; /* somewhere to point to */

void spool_output(struct spool_file *f, struct str bytes)
{
        assert_ptr_equal(f, &recording);
        if (bytes.len == 0)
                return;
        fixture->writes++;
        if (bytes.len > fixture->longest)
                fixture->longest = bytes.len;
        buf_put(&fixture->written, bytes);
}

static int set_up(void **state)
{
        static struct fixture f;

        f = (struct fixture){ .written = BUF_MAX(MiB) };
        fixture = &f;
        fake_clock_init(&f.clock, 1700000000);
        if (loop_init(&f.loop, &f.clock.clock) != NULL)
                return -1;
        f.batch = request_batch_new(&f.loop, (struct spool_file *)&recording);
        *state = &f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        request_batch_free(f->batch);
        buf_release(&f->written);
        loop_release(&f->loop);
        return 0;
}

/* The requests of a connection have the paths "/0", "/1" and so on. */
static void request(struct fixture *f)
{
        AUTO(buf) path = BUF_MAX(32);

        buf_printf(&path, "/%u", f->requests++);
        request_batch_add(f->batch, &(struct request_entry){ .method = STR("GET"), .target = buf_str(&path), .status = 200 });
}

static void stop(void *ctx)
{
        loop_stop(ctx);
}

static void pass(struct fixture *f, struct duration by)
{
        loop_advance(&f->loop, &f->clock, by);
        loop_defer(&f->loop, stop, &f->loop);
        loop_run(&f->loop);
}

/* Each request is written once, in order. */
static void assert_written(struct fixture *f, unsigned count)
{
        AUTO(buf) expected = BUF_MAX(MiB);

        for (unsigned i = 0; i < count; i++) {
                AUTO(buf) path = BUF_MAX(32);

                buf_printf(&path, "/%u", i);
                request_entry_put(&expected, &(struct request_entry){ .method = STR("GET"), .target = buf_str(&path), .status = 200 });
        }
        assert_false(expected.overflowed);
        assert_true(str_equal(buf_str(&f->written), buf_str(&expected)));
}

static void requests_are_written_together(void **state)
{
        struct fixture *f = *state;

        request(f);
        pass(f, MILLISECONDS(PACE_APP_REQUEST_BATCH / 2));
        request(f);
        pass(f, MILLISECONDS(PACE_APP_REQUEST_BATCH / 2 - 1));
        assert_int_equal(f->writes, 0);
        pass(f, MILLISECONDS(1));
        assert_int_equal(f->writes, 1);
        assert_written(f, 2);
        request(f); /* the next one begins a batch of its own */
        pass(f, MILLISECONDS(PACE_APP_REQUEST_BATCH - 1));
        assert_int_equal(f->writes, 1);
        pass(f, MILLISECONDS(1));
        assert_int_equal(f->writes, 2);
        assert_written(f, 3);
}

/* loop_run() returns when no timer is left. */
static void an_idle_connection_has_no_timer(void **state)
{
        struct fixture *f = *state;

        loop_run(&f->loop);
        request(f);
        loop_advance(&f->loop, &f->clock, MILLISECONDS(PACE_APP_REQUEST_BATCH));
        loop_run(&f->loop);
        assert_int_equal(f->writes, 1);
}

static void a_full_batch_is_written_at_once(void **state)
{
        struct fixture *f = *state;

        while (f->writes < 3)
                request(f);
        assert_written(f, f->requests);
        assert_in_range(f->longest, LIMIT_APP_REQUEST_BATCH, LIMIT_APP_REQUEST_BATCH + f->written.len / f->requests + 1);
        loop_run(&f->loop); /* no timer is left */
}

static void a_full_batch_restarts_the_time(void **state)
{
        struct fixture *f = *state;

        request(f);
        pass(f, MILLISECONDS(PACE_APP_REQUEST_BATCH / 2));
        while (f->writes == 0)
                request(f);
        request(f);
        pass(f, MILLISECONDS(PACE_APP_REQUEST_BATCH - 1));
        assert_int_equal(f->writes, 1);
        pass(f, MILLISECONDS(1));
        assert_int_equal(f->writes, 2);
        assert_written(f, f->requests);
}

/* The longest lines after a batch that is almost full. */
static void a_batch_ends_with_a_whole_line(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) target = BUF_MAX(2 * LIMIT_APP_REQUEST_TEXT);

        buf_put_char(&target, '/');
        while (target.len < 2 * LIMIT_APP_REQUEST_TEXT)
                buf_put_char(&target, '"');
        for (int i = 0; i < 50; i++) {
                request(f);
                request_batch_add(f->batch, &(struct request_entry){ .method = buf_str(&target), .target = buf_str(&target), .status = 400 });
                assert_true(f->written.len == 0 || str_ends_with(buf_str(&f->written), STR("}\r\n")));
        }
        assert_true(f->writes > 1);
}

static void the_end_of_a_connection_writes_the_rest(void **state)
{
        struct fixture *f = *state;

        request(f);
        request(f);
        request_batch_free(f->batch);
        f->batch = NULL;
        assert_int_equal(f->writes, 1);
        assert_written(f, 2);
        pass(f, MILLISECONDS(2 * PACE_APP_REQUEST_BATCH));
        assert_int_equal(f->writes, 1);
}

static void a_connection_without_requests_writes_nothing(void **state)
{
        struct fixture *f = *state;

        request_batch_free(f->batch);
        f->batch = NULL;
        assert_int_equal(f->writes, 0);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                ROW(requests_are_written_together),
                ROW(an_idle_connection_has_no_timer),
                ROW(a_full_batch_is_written_at_once),
                ROW(a_full_batch_restarts_the_time),
                ROW(a_batch_ends_with_a_whole_line),
                ROW(the_end_of_a_connection_writes_the_rest),
                ROW(a_connection_without_requests_writes_nothing),
        };
#undef ROW

        return cmocka_run_group_tests_name("app_request_batch", tests, NULL, NULL);
}
