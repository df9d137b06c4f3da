/* SPDX-License-Identifier: Apache-2.0 */
/* Old recordings are removed; those of running sessions, and those that their nodes still have to send, stay. */
#include <fcntl.h>
#include <sys/stat.h>

#include "auth/sessions/record_retention.h"
#include "auth/sessions/session_testing.h"
#include "base/log.h"
#include "rpc/pb.h"
#include "state/recording.h"
#include "state/session.h"

#define NODE_ID "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"

enum { HOUR = 3600 };

static char *id_of(int number)
{
        return mem_printf("aaaaaaaa-aaaa-4aaa-8aaa-%012d", number);
}

static char *path_of(const struct testbed *w, int number, const char *ending)
{
        AUTO_MEM char *id = id_of(number);

        return mem_printf("%s/%s%s", w->a.records_dir, id, ending);
}

/* A file that was last written so many seconds ago. */
static void given_file_of(struct testbed *w, int number, const char *ending, int64_t ago, size_t size)
{
        AUTO_MEM char *path = path_of(w, number, ending);
        const struct timespec times[] = { { .tv_sec = NOW - ago }, { .tv_sec = NOW - ago } };
        AUTO_MEM char *bytes = mem_alloc(size + 1);

        assert_done(dir_make(w->a.records_dir, 0700));
        assert_done(file_write_atomic(path, (struct str){ bytes, size }, 0600));
        assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* The records of a session that ended so many seconds ago; negative: it goes on. */
static void given_records(struct testbed *w, int number, int64_t ended_ago, bool is_complete)
{
        Cteleport__State__V1__Session s = CTELEPORT__STATE__V1__SESSION__INIT;
        Cteleport__State__V1__Recording r = CTELEPORT__STATE__V1__RECORDING__INIT;
        AUTO_MEM char *id = id_of(number);
        AUTO_MEM char *session_at = mem_printf("/sessions/%s", id), *recording_at = mem_printf("/recordings/%s", id);

        s.session_id = r.session_id = id;
        s.host_id = pb_text(NODE_ID);
        s.is_recorded = true;
        s.ended = ended_ago < 0 ? 0 : (NOW - ended_ago) * INT64_C(1000);
        r.is_complete = is_complete;
        put_message(w, session_at, &s.base);
        put_message(w, recording_at, &r.base);
}

static void given_recording(struct testbed *w, int number, int64_t ended_ago)
{
        given_records(w, number, ended_ago, true);
        given_file_of(w, number, ".rec", ended_ago, 1000);
}

static bool has_file(const struct testbed *w, int number, const char *ending)
{
        AUTO_MEM char *path = path_of(w, number, ending);

        return access(path, F_OK) == 0;
}

/* Runs once; `expected` recordings are removed. */
static void run(struct testbed *w, size_t expected)
{
        size_t before = count_records(w, &recording_kind);
        struct record_retention *r = record_retention_new(&w->a);

        AWAIT(w, !record_retention_is_running(r));
        record_retention_free(r);
        assert_int_equal(before - count_records(w, &recording_kind), expected);
}

static void old_recordings_are_removed_with_their_records(void **state)
{
        struct testbed *w = *state;

        w->a.retention_settings = (struct retention_settings){ .recording_age = HOURS(2) };
        given_recording(w, 1, 3 * HOUR);
        given_file_of(w, 1, ".damaged-1", 3 * HOUR, 10);
        given_recording(w, 2, 2 * HOUR);
        given_recording(w, 3, 2 * HOUR - 1);
        run(w, 2);
        assert_false(has_file(w, 1, ".rec") || has_file(w, 1, ".damaged-1") || has_file(w, 2, ".rec"));
        assert_true(has_file(w, 3, ".rec"));
        assert_int_equal(count_records(w, &session_kind), 1);
        assert_int_equal(count_events(w, "\"event\":\"session.recording.expire\",\"code\":\"CTS03I\""), 1);
        assert_int_equal(count_events(w, "\"recordings\":2,\"bytes\":2010,\"sids\":[\"aaaaaaaa-aaaa-4aaa-8aaa-000000000001\",\"aaaaaaaa-aaaa-4aaa-8aaa-000000000002\"]"), 1);
}

static void open_and_unsent_recordings_stay(void **state)
{
        struct testbed *w = *state;

        w->a.retention_settings = (struct retention_settings){ .recording_age = HOURS(2), .recording_size = 1 };
        given_node(w, NODE_ID, "web-1", "test");
        given_records(w, 1, -1, false); /* it goes on, and was silent for days */
        given_file_of(w, 1, ".rec", 99 * HOUR, 1000);
        given_records(w, 2, 98 * HOUR, false); /* its node is switched off */
        given_file_of(w, 2, ".rec", 98 * HOUR, 1000);
        given_file_of(w, 3, ".rec", 97 * HOUR, 1000); /* a crash after the deletion of the records left it */
        given_recording(w, 4, 96 * HOUR);
        run(w, 1);
        assert_true(has_file(w, 1, ".rec") && has_file(w, 2, ".rec"));
        assert_false(has_file(w, 3, ".rec") || has_file(w, 4, ".rec"));
}

static void the_oldest_are_removed_beyond_the_size(void **state)
{
        struct testbed *w = *state;

        w->a.retention_settings = (struct retention_settings){ .recording_size = 2500 };
        given_recording(w, 1, 1 * HOUR);
        given_recording(w, 2, 4 * HOUR);
        given_recording(w, 3, 2 * HOUR);
        given_recording(w, 4, 3 * HOUR);
        run(w, 2);
        assert_false(has_file(w, 2, ".rec") || has_file(w, 4, ".rec"));
        assert_true(has_file(w, 1, ".rec") && has_file(w, 3, ".rec"));
}

/* An old one whose node never came back is larger than all that may stay: the others stay. */
static void one_that_cannot_be_removed_displaces_no_other(void **state)
{
        struct testbed *w = *state;

        w->a.retention_settings = (struct retention_settings){ .recording_size = 2500 };
        given_node(w, NODE_ID, "web-1", "test");
        given_records(w, 1, 9 * HOUR, false);
        given_file_of(w, 1, ".rec", 9 * HOUR, 5000);
        given_recording(w, 2, 3 * HOUR);
        given_recording(w, 3, 2 * HOUR);
        run(w, 0);
        given_recording(w, 4, 1 * HOUR);
        run(w, 1);
        assert_true(has_file(w, 1, ".rec") && has_file(w, 3, ".rec") && has_file(w, 4, ".rec"));
        assert_false(has_file(w, 2, ".rec"));
}

/* A machine that was terminated in the middle of a session sends no more, and another one cannot have its ID. */
static void an_unsent_recording_of_a_removed_node_expires(void **state)
{
        struct testbed *w = *state;

        w->a.retention_settings = (struct retention_settings){ .recording_age = HOURS(2) };
        given_records(w, 1, 3 * HOUR, false);
        given_file_of(w, 1, ".rec", 3 * HOUR, 1000);
        given_records(w, 2, 1 * HOUR, false);
        given_file_of(w, 2, ".rec", 3 * HOUR, 1000);
        given_records(w, 3, -1, false); /* its end is not reported yet */
        given_file_of(w, 3, ".rec", 3 * HOUR, 1000);
        run(w, 1);
        assert_false(has_file(w, 1, ".rec"));
        assert_true(has_file(w, 2, ".rec") && has_file(w, 3, ".rec"));
        assert_int_equal(count_records(w, &session_kind), 2);
}

/* The time of day is a year ahead: nothing expires by it. */
static void a_clock_that_jumps_removes_nothing(void **state)
{
        struct testbed *w = *state;

        w->a.retention_settings = (struct retention_settings){ .recording_age = HOURS(100) };
        given_recording(w, 1, 2 * HOUR);
        run(w, 0);
        w->clock.walltime = walltime_add(w->clock.walltime, HOURS(24 * 365));
        run(w, 0);
        assert_true(has_file(w, 1, ".rec"));
}

static void many_are_removed_in_batches(void **state)
{
        struct testbed *w = *state;

        w->a.retention_settings = (struct retention_settings){ .recording_age = HOURS(1) };
        for (int i = 0; i < LIMIT_RETENTION_BATCH + 3; i++)
                given_recording(w, i, 2 * HOUR + i);
        run(w, LIMIT_RETENTION_BATCH + 3);
        assert_int_equal(count_records(w, &session_kind), 0);
        assert_int_equal(count_events(w, "session.recording.expire"), 2);
}

/* A file that cannot be removed, as one with chattr +i; here a directory. */
static void a_recording_that_stays_is_not_reported(void **state)
{
        struct testbed *w = *state;
        AUTO_MEM char *stuck = path_of(w, 1, ".rec");

        w->a.retention_settings = (struct retention_settings){ .recording_size = 1 };
        given_recording(w, 2, 2 * HOUR);
        assert_int_equal(mkdir(stuck, 0700), 0);
        run(w, 1);
        run(w, 0);
        assert_true(has_file(w, 1, ".rec"));
        assert_false(has_file(w, 2, ".rec"));
        assert_int_equal(count_events(w, "session.recording.expire"), 1);
        assert_int_equal(count_events(w, "\"recordings\":1,"), 1);
}

static void files_of_others_stay(void **state)
{
        struct testbed *w = *state;
        static const char *const names[] = { "notes.rec", "aaaaaaaa-aaaa-4aaa-8aaa-000000000001", "aaaaaaaa-aaaa-4aaa-8aaa-000000000001.txt",
                                             "AAAAAAAA-aaaa-4aaa-8aaa-000000000001.rec" };

        w->a.retention_settings = (struct retention_settings){ .recording_size = 1 };
        assert_done(dir_make(w->a.records_dir, 0700));
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
                given_file(w->a.records_dir, names[i], "several bytes");
        run(w, 0);
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                AUTO_MEM char *path = path_in(w->a.records_dir, names[i]);

                assert_int_equal(access(path, F_OK), 0);
        }
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, testbed_open, testbed_close)
        const struct CMUnitTest tests[] = {
                ROW(old_recordings_are_removed_with_their_records),
                ROW(open_and_unsent_recordings_stay),
                ROW(the_oldest_are_removed_beyond_the_size),
                ROW(one_that_cannot_be_removed_displaces_no_other),
                ROW(an_unsent_recording_of_a_removed_node_expires),
                ROW(a_clock_that_jumps_removes_nothing),
                ROW(many_are_removed_in_batches),
                ROW(a_recording_that_stays_is_not_reported),
                ROW(files_of_others_stay),
        };
#undef ROW
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        return cmocka_run_group_tests(tests, NULL, NULL);
}
