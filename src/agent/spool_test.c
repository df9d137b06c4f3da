/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transfer of recordings: the disk may be full; the cluster may be unreachable or slow, lose data or refuse it. The
 * stored recording is compared with the output of the terminal.
 */
#include "agent/spool_testing.h"

/* ---- to the cluster ------------------------------------------------------------------------------------------------- */

static void sends_a_recording_and_forgets_it(void **state)
{
        struct agent *s = *state;
        struct spool_file *f = begin(s, first_id);

        spool_publish(f);
        spool_output(f, STR("$ ls\r\n"));
        spool_resize(f, 100, 40);
        spool_output(f, STR("file\r\n"));
        spool_finish(f);
        await(s, files_in(s->dir) == 0);
        assert_kept(first_id, STR("$ ls\r\nfile\r\n"), true);
}

static void sends_while_the_session_lasts(void **state)
{
        struct agent *s = *state;
        struct spool_file *f = begin(s, first_id);
        const struct kept *k = kept_of(STR("11111111-1111-4111-8111-111111111111"));

        spool_publish(f);
        spool_output(f, STR("first "));
        await(s, k->bytes.len > 120);
        size_t before = k->bytes.len;
        spool_output(f, STR("second"));
        await(s, k->bytes.len > before);
        assert_false(k->is_finished);
        spool_finish(f);
        await(s, k->is_finished);
        assert_kept(first_id, STR("first second"), true);
}

static void sends_no_recording_before_it_is_permitted(void **state)
{
        struct agent *s = *state;
        struct spool_file *f = begin(s, first_id);

        spool_output(f, STR("x"));
        for (int i = 0; i < 500; i++)
                turn(s, 10);
        assert_int_equal(s->requested, 0);
        spool_discard(f);
        await(s, files_in(s->dir) == 0);
        assert_int_equal(s->requested, 0);
}

static void loses_nothing_when_connections_break(void **state)
{
        struct agent *s = *state;
        AUTO(buf) flood = a_flood(3 * MiB);
        struct spool_file *f = begin(s, first_id);

        spool_publish(f);
        for (size_t at = 0; at < flood.len; at += flood.len / 8) {
                const struct kept *k = kept_of(str_of(first_id));

                s->breaks_after = k->bytes.len + 100000;
                pour(s, f, str_slice(buf_str(&flood), at, flood.len / 8));
                await(s, s->breaks_after == 0);
        }
        spool_finish(f);
        await(s, files_in(s->dir) == 0);
        assert_kept(first_id, buf_str(&flood), true);
        assert_true(kept_of(str_of(first_id))->streams > 7);
}

static void waits_for_a_cluster_that_is_away(void **state)
{
        struct agent *s = *state;
        struct spool_file *f = begin(s, first_id);

        s->is_away = true;
        spool_publish(f);
        spool_output(f, STR("alone"));
        spool_finish(f);
        for (int i = 0; i < 1000; i++)
                turn(s, 100);
        assert_in_range(s->requested, 3, 20); /* with growing pauses */
        assert_int_equal(files_in(s->dir), 1);
        s->is_away = false;
        await(s, files_in(s->dir) == 0);
        assert_kept(first_id, STR("alone"), true);
        assert_null(s->failure);
}

static void sends_no_more_than_is_acknowledged(void **state)
{
        struct agent *s = *state;
        AUTO(buf) flood = a_flood(4 * MiB);
        struct spool_file *f = begin(s, first_id);
        struct spool_file *g = begin(s, "22222222-2222-4222-8222-222222222222");

        spool_publish(f);
        spool_publish(g);
        await(s, kept_of(str_of(first_id))->streams == 1);
        s->is_unresponsive = true;
        pour(s, f, buf_str(&flood));
        pour(s, g, buf_str(&flood));
        for (int i = 0; i < 2000; i++)
                turn(s, 1);
        size_t sent = kept_of(str_of(first_id))->bytes.len + kept_of(STR("22222222-2222-4222-8222-222222222222"))->bytes.len;
        assert_in_range(sent, 100000, 600000);
        s->is_unresponsive = false;
        break_connection();
        spool_finish(f);
        spool_finish(g);
        await(s, files_in(s->dir) == 0);
        assert_kept(first_id, buf_str(&flood), true);
        assert_kept("22222222-2222-4222-8222-222222222222", buf_str(&flood), true);
}

static void keeps_recordings_that_the_cluster_refuses(void **state)
{
        struct agent *s = *state;
        struct spool_file *f = begin(s, first_id);

        s->refusal = ERROR_NOT_FOUND;
        spool_publish(f);
        await(s, s->failure != NULL);
        assert_int_equal(s->failure->code, ERROR_NOT_FOUND);
        spool_output(f, STR("dropped"));
        spool_finish(f);
        int requested = s->requested;
        for (int i = 0; i < 1000; i++)
                turn(s, 100);
        assert_int_equal(s->requested, requested);
        assert_int_equal(files_in(s->dir), 1);
}

/* The process was killed while it waited for the answer whether a session may begin; and another one whose session is not known any more. */
static void removes_the_file_of_a_session_that_never_began(void **state)
{
        static const char second_id[] = "22222222-2222-4222-8222-222222222222", third_id[] = "33333333-3333-4333-8333-333333333333";
        struct agent *s = *state;
        char path[128];

        s->is_away = true;
        begin(s, first_id);
        spool_output(begin(s, second_id), STR("$ ls"));
        for (int i = 0; i < 100; i++)
                turn(s, 10);
        end_spool(s);
        snprintf(path, sizeof path, "%s/%s.rec", s->dir, third_id); /* not even a header */
        close(open(path, O_WRONLY | O_CREAT, 0600));
        loop_advance(&s->loop, &s->clock, HOURS(1));

        s->is_away = false;
        s->refusal = ERROR_NOT_FOUND;
        s->spool = spool_open(s, s->dir);
        await(s, files_in(s->dir) == 1);
        for (int i = 0; i < 100; i++)
                turn(s, 10);
        snprintf(path, sizeof path, "%s/%s.rec", s->dir, second_id);
        assert_int_equal(access(path, F_OK), 0);
}

/* ---- earlier runs -------------------------------------------------------------------------------------------------------- */

static void copy_file(const char *from, const char *to, size_t max)
{
        static char bytes[4 * MiB];
        int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        ssize_t n = read(in, bytes, sizeof bytes);

        assert_true(n > 0);
        size_t len = (size_t)n < max ? (size_t)n : max;
        assert_int_equal(write(out, bytes, len), len);
        close(in);
        close(out);
}

static void sends_recordings_of_a_killed_run(void **state)
{
        struct agent *s = *state;
        char path[128], copy[128];
        struct stat st;

        /* A session runs when the process is killed: the file is torn somewhere. */
        s->is_away = true;
        struct spool_file *f = begin(s, first_id);
        spool_publish(f);
        spool_output(f, STR("whole "));
        for (int i = 0; i < 100; i++)
                turn(s, 10);
        snprintf(path, sizeof path, "%s/%s.rec", s->dir, first_id);
        await(s, stat(path, &st) == 0 && st.st_size > 150);
        off_t whole = st.st_size;
        spool_output(f, STR("torn"));
        await(s, stat(path, &st) == 0 && st.st_size > whole);
        snprintf(copy, sizeof copy, "%s/copy", s->dir);
        copy_file(path, copy, (size_t)st.st_size - 1);
        spool_finish(f);
        end_spool(s);
        assert_int_equal(rename(copy, path), 0);

        s->is_away = false;
        s->spool = spool_open(s, s->dir);
        await(s, files_in(s->dir) == 0);
        assert_kept(first_id, STR("whole "), false);
}

/* Leaves a finished recording of a flood in the spool of an ended run. */
static struct buf leave_one(struct agent *s, char path[static 128])
{
        struct buf flood = a_flood(600000);

        s->is_away = true;
        struct spool_file *f = begin(s, first_id);
        spool_publish(f);
        pour(s, f, buf_str(&flood));
        spool_finish(f);
        for (int i = 0; i < 300; i++)
                turn(s, 10);
        end_spool(s);
        snprintf(path, 128, "%s/%s.rec", s->dir, first_id);
        return flood;
}

static void damage(const char *path, off_t at, size_t len)
{
        char bytes[200000];
        int fd = open(path, O_RDWR);

        assert_int_equal(pread(fd, bytes, len, at), len);
        for (size_t i = 0; i < len; i++)
                bytes[i] = (char)(bytes[i] ^ 0x41);
        assert_int_equal(pwrite(fd, bytes, len, at), len);
        close(fd);
}

/* The output is stored except for one part of it, and the size is that of the file. */
static void assert_around(struct str expected, size_t least_lost, size_t most_lost, off_t size)
{
        AUTO(buf) shown = BUF_MAX(KEPT_MAX);
        const struct kept *k = kept_of(str_of(first_id));
        bool has_ended;

        assert_true(k->is_finished && !k->is_aborted);
        assert_int_equal(k->bytes.len, size);
        assert_true(shown_in(buf_str(&k->bytes), &shown, &has_ended));
        assert_true(has_ended);
        assert_in_range(expected.len - shown.len, least_lost, most_lost);
        size_t same = 0;
        while (shown.ptr[same] == expected.ptr[same])
                same++;
        assert_true(same > 0 && same < shown.len);
        assert_memory_equal(shown.ptr + same, expected.ptr + expected.len - (shown.len - same), shown.len - same);
}

static void sends_the_chunks_around_a_damaged_one(void **state)
{
        static const struct {
                off_t at;
                size_t len, most_lost;
                bool has_part; /* the cluster had the first of the damaged chunks before */
        } table[] = { { 300000, 1, RECORDING_CHUNK_MAX, false }, { 200000, 200000, 6 * RECORDING_CHUNK_MAX, false }, { 200000, 200000, 6 * RECORDING_CHUNK_MAX, true } };

        for (size_t i = 0; i < ARRAY_LEN(table); i++) {
                struct agent *s = *state;
                char path[128], kept[128];
                AUTO(buf) flood = leave_one(s, path);
                struct kept *k = kept_of(str_of(first_id));
                off_t size = size_of(path);

                k->is_finished = false;
                k->bytes.len = 0;
                if (table[i].has_part) {
                        struct recording_check check = { 0 };
                        AUTO(buf) all = BUF_MAX(KEPT_MAX);

                        assert_done(file_read(path, &all));
                        assert_null(recording_check_feed(&check, str_slice(buf_str(&all), 0, 300000)));
                        assert_true(check.whole > 200000 + RECORDING_CHUNK_MAX / 2);
                        buf_put(&k->bytes, str_slice(buf_str(&all), 0, (size_t)check.whole));
                }
                damage(path, table[i].at, table[i].len);
                s->is_away = false;
                s->spool = spool_open(s, s->dir);
                snprintf(kept, sizeof kept, "%s/%s.damaged", s->dir, first_id);
                await(s, access(kept, F_OK) == 0);
                assert_int_equal(access(path, F_OK), -1);
                assert_around(buf_str(&flood), table[i].len > 1 ? 1000 : 1, table[i].most_lost, size);
                unlink(kept);
                end_spool(s);
                s->spool = spool_open(s, s->dir);
        }
}

static void ends_while_it_checks_files_of_an_earlier_run(void **state)
{
        struct agent *s = *state;
        char path[128];

        for (int i = 0; i < 20; i++) {
                AUTO(buf) flood = leave_one(s, path);

                s->is_away = false;
                s->spool = spool_open(s, s->dir);
                for (int k = 0; k < i / 4; k++) /* at other moments of it, too */
                        turn(s, 1);
                end_spool(s);
                kept_of(str_of(first_id))->bytes.len = 0;
                kept_of(str_of(first_id))->is_finished = false;
                unlink(path);
                s->spool = spool_open(s, s->dir);
        }
        AUTO(buf) flood = leave_one(s, path);
        s->is_away = false;
        s->spool = spool_open(s, s->dir);
        await(s, files_in(s->dir) == 0);
        assert_kept(first_id, buf_str(&flood), true);
}

static void keeps_a_recording_with_a_damaged_end(void **state)
{
        struct agent *s = *state;
        char path[128], kept[128];
        AUTO(buf) flood = leave_one(s, path);
        AUTO(buf) shown = BUF_MAX(KEPT_MAX);
        off_t size = size_of(path);
        bool has_ended;

        damage(path, size - 30, 1); /* in the body of the last chunk, which is complete: no crash leaves this state */
        s->is_away = false;
        s->spool = spool_open(s, s->dir);
        snprintf(kept, sizeof kept, "%s/%s.damaged", s->dir, first_id);
        await(s, access(kept, F_OK) == 0);
        const struct kept *k = kept_of(str_of(first_id));
        assert_true(k->is_finished && k->is_aborted);
        assert_true(shown_in(buf_str(&k->bytes), &shown, &has_ended));
        assert_int_equal(shown.len, flood.len);
        assert_int_equal(size_of(kept), size);
}

static void sends_many_of_an_earlier_run_and_no_other_files(void **state)
{
        enum { MANY = 3 * LIMIT_SPOOL_UPLOADS };
        struct agent *s = *state;
        char path[128];

        s->is_away = true;
        for (int i = 0; i < MANY; i++) {
                snprintf(path, sizeof path, "%08d-1111-4111-8111-111111111111", i);
                struct spool_file *f = begin(s, path);
                spool_publish(f);
                spool_output(f, STR("left"));
                spool_finish(f);
        }
        for (int i = 0; i < 300; i++)
                turn(s, 10);
        end_spool(s);
        snprintf(path, sizeof path, "%s/not-ours.rec", s->dir);
        close(open(path, O_WRONLY | O_CREAT, 0600));

        s->is_away = false;
        s->spool = spool_open(s, s->dir);
        await(s, files_in(s->dir) == 1);
        for (int i = 0; i < MANY; i++) {
                snprintf(path, sizeof path, "%08d-1111-4111-8111-111111111111", i);
                assert_kept(path, STR("left"), true);
        }
}

/* ---- the disk -------------------------------------------------------------------------------------------------------------- */

static void reports_a_full_disk(void **state)
{
        struct agent *s = *state;
        AUTO(buf) flood = a_flood(1 * MiB);
        AUTO(buf) shown = BUF_MAX(KEPT_MAX);
        bool has_ended;
        struct spool_file *f = begin(s, first_id);

        limit_file_size(300000);
        spool_publish(f);
        spool_output(f, buf_str(&flood));
        await(s, s->failure != NULL);
        limit_file_size(RLIM_INFINITY);
        assert_int_equal(spool_pending(f), 0);
        spool_output(f, STR("dropped"));
        spool_finish(f);
        await(s, files_in(s->dir) == 0);
        /* The intact part is stored and marked as incomplete. */
        const struct kept *k = kept_of(str_of(first_id));
        assert_true(k->is_aborted);
        assert_true(shown_in(buf_str(&k->bytes), &shown, &has_ended));
        assert_false(has_ended);
        assert_in_range(shown.len, 0, 300000);
        assert_memory_equal(shown.ptr, flood.ptr, shown.len);
}

static void fails_at_once_when_no_recording_can_be_started(void **state)
{
        struct agent *s = *state;
        const struct recording_header header = { .columns = 80, .rows = 24 };
        struct spool_file *f = NULL;

        limit_file_size(0);
        AUTO_PTR(error) err = spool_begin(s->spool, str_of(first_id), STR("alice"), &header, on_failed, s, &f);
        limit_file_size(RLIM_INFINITY);
        assert_non_null(err);
        assert_int_equal(files_in(s->dir), 0);
        f = begin(s, first_id);
        assert_failed(spool_begin(s->spool, str_of(first_id), STR("alice"), &header, on_failed, s, &f));
}

static void on_drained(void *ctx)
{
        struct agent *s = ctx;

        s->drained++;
}

static void reports_when_it_is_drained(void **state)
{
        struct agent *s = *state;
        AUTO(buf) flood = a_flood(2 * MiB);
        struct spool_file *f = begin(s, first_id);

        spool_output(f, buf_str(&flood));
        assert_true(spool_pending(f) > LIMIT_SPOOL_WAITING);
        spool_on_drain(f, on_drained);
        await(s, s->drained == 1);
        assert_true(spool_pending(f) < LIMIT_SPOOL_WAITING);
        spool_finish(f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
                T(sends_a_recording_and_forgets_it),
                T(sends_while_the_session_lasts),
                T(sends_no_recording_before_it_is_permitted),
                T(loses_nothing_when_connections_break),
                T(waits_for_a_cluster_that_is_away),
                T(sends_no_more_than_is_acknowledged),
                T(keeps_recordings_that_the_cluster_refuses),
                T(removes_the_file_of_a_session_that_never_began),
                T(sends_recordings_of_a_killed_run),
                T(sends_the_chunks_around_a_damaged_one),
                T(ends_while_it_checks_files_of_an_earlier_run),
                T(keeps_a_recording_with_a_damaged_end),
                T(sends_many_of_an_earlier_run_and_no_other_files),
                T(reports_a_full_disk),
                T(fails_at_once_when_no_recording_can_be_started),
                T(reports_when_it_is_drained),
#undef T
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
