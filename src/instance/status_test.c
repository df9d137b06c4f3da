/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "loop/job_testing.h"
#include "os/file_testing.h"

struct fixture {
        struct loop loop;
        struct fake_clock clock;
        struct status status;
        char *dir, *file;
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);
        *state = f;
        fake_clock_init(&f->clock, 1800000000);
        assert_null(loop_init(&f->loop, &f->clock.clock));
        f->dir = test_dir_new();
        f->file = path_in(f->dir, "status.json");
        status_init(&f->status, &f->loop, f->dir);
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;
        status_release(&f->status);
        loop_release(&f->loop);
        test_dir_free(f->dir);
        free(f->file);
        free(f);
        return 0;
}

static json_t *written(struct fixture *f)
{
        loop_run(&f->loop); /* until the write is done */
        json_t *root = json_load_file(f->file, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(root);
        return root;
}

static const char *text_of(const json_t *root, const char *key)
{
        return json_string_value(json_object_get(root, key));
}

static void writes_changed_fields(void **state)
{
        struct fixture *f = *state;
        status_set_state(&f->status, STATUS_CONNECTED);
        status_set_server(&f->status, "proxy.example.com:443");
        status_set_identity(&f->status, STR("id"), STR("example.com"), walltime_of_unix(1800000000),
                            walltime_of_unix(1800003600));
        status_set_skew(&f->status, MILLISECONDS(-1500));
        json_t *root = written(f);
        assert_string_equal(text_of(root, "state"), "connected");
        assert_string_equal(text_of(root, "since"), "2027-01-15T08:00:00Z");
        assert_string_equal(text_of(root, "server"), "proxy.example.com:443");
        assert_string_equal(text_of(root, "host_id"), "id");
        assert_string_equal(text_of(root, "cluster"), "example.com");
        assert_string_equal(text_of(root, "joined"), "2027-01-15T08:00:00Z");
        assert_string_equal(text_of(root, "cert_not_after"), "2027-01-15T09:00:00Z");
        assert_int_equal(json_integer_value(json_object_get(root, "clock_skew_ms")), -1500);
        assert_true(json_is_null(json_object_get(root, "last_error")));
        json_decref(root);
}

static void keeps_the_first_moment_of_an_error(void **state)
{
        struct fixture *f = *state;
        AUTO_PTR(error) err = error_hint(error_new(ERROR_UNAVAILABLE, "no \"route\""), "look for one");
        status_set_error(&f->status, err);
        fake_clock_advance(&f->clock, MINUTES(1));
        status_set_error(&f->status, err);
        json_t *root = written(f);
        assert_string_equal(text_of(root, "last_error"), "no \"route\"");
        assert_string_equal(text_of(root, "last_error_hint"), "look for one");
        assert_string_equal(text_of(root, "last_error_at"), "2027-01-15T08:00:00Z");
        json_decref(root);

        status_set_error(&f->status, NULL);
        root = written(f);
        assert_true(json_is_null(json_object_get(root, "last_error")));
        assert_true(json_is_null(json_object_get(root, "last_error_at")));
        json_decref(root);
}

static void keeps_one_notice_of_a_kind(void **state)
{
        struct fixture *f = *state;
        status_set_notice(&f->status, "clock", "old");
        status_set_notice(&f->status, "clock", "new");
        status_set_notice(&f->status, "duplicate_host_id", "twice");
        json_t *root = written(f);
        assert_int_equal(json_array_size(json_object_get(root, "notices")), 2);
        json_decref(root);

        status_set_notice(&f->status, "clock", NULL);
        root = written(f);
        assert_int_equal(json_array_size(json_object_get(root, "notices")), 1);
        assert_string_equal(json_string_value(json_array_get(json_object_get(root, "notices"), 0)), "twice");
        json_decref(root);
}

static void finds_room_for_any_number_of_kinds(void **state)
{
        struct fixture *f = *state;
        for (int i = 0; i < 3 * STATUS_NOTICES_MAX; i++) {
                AUTO_MEM char *kind = mem_printf("kind %d", i);
                status_set_notice(&f->status, kind, kind);
        }
        json_t *root = written(f);
        assert_int_equal(json_array_size(json_object_get(root, "notices")), STATUS_NOTICES_MAX);
        json_decref(root);
}

static void count_up(void *ctx)
{
        ++*(int *)ctx;
}

static void finishes_once_with_the_last_status_written(void **state)
{
        struct fixture *f = *state;
        int finished = 0;
        status_set_state(&f->status, STATUS_CONNECTED);
        status_finish(&f->status, count_up, &finished);
        json_t *root = written(f);
        assert_string_equal(text_of(root, "state"), "stopped");
        assert_int_equal(finished, 1);
        json_decref(root);
}

/* A host that ends at once while its file is being written: the file is written, and the host's memory is not accessed. */
static void ends_at_any_moment_of_a_write(void **state)
{
        struct fixture *f = *state;
        int finished = 0;

        for (int m = 0; m < JOB_MOMENTS; m++) {
                struct status *s = NEW(struct status); /* memory of its own: a later access is found */

                status_init(s, &f->loop, f->dir);
                job_hold(&f->loop, (enum job_moment)m);
                status_set_state(s, STATUS_CONNECTED);
                status_finish(s, count_up, &finished);
                job_await_held(&f->loop);
                status_release(s);
                free(s);
                job_resume();
                json_t *root = written(f);
                assert_string_equal(text_of(root, "state"), "stopped");
                json_decref(root);
                assert_int_equal(unlink(f->file), 0);
                assert_int_equal(finished, 0);
        }
        status_set_state(&f->status, STATUS_CONNECTED); /* before the write begins */
        status_release(&f->status);
        loop_run(&f->loop);
        assert_int_not_equal(access(f->file, F_OK), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(writes_changed_fields),
                TEST(keeps_the_first_moment_of_an_error),
                TEST(keeps_one_notice_of_a_kind),
                TEST(finds_room_for_any_number_of_kinds),
                TEST(finishes_once_with_the_last_status_written),
                TEST(ends_at_any_moment_of_a_write),
        };
        job_use_one_thread();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
