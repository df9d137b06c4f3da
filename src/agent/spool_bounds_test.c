/* SPDX-License-Identifier: Apache-2.0 */
/* Bounds of the memory and disk that all recordings of a node use together. */
#include <dirent.h>
#include <dlfcn.h>

#include "agent/spool_testing.h"

/* ---- a disk that is stuck ---------------------------------------------------------------------------------------------------- */

enum { STUCK_JOBS = 32, RECORDINGS = 400 }; /* more jobs than the pool has threads */
static sem_t unstuck;

static void wait_for_disk(void *ctx UNUSED)
{
        sem_wait(&unstuck);
}

static void forget(void *ctx UNUSED)
{
}

/* Nothing is written from now on. */
static void get_stuck(struct agent *s)
{
        assert_int_equal(sem_init(&unstuck, 0, 0), 0);
        for (int i = 0; i < STUCK_JOBS; i++)
                (void)loop_job(&s->loop, wait_for_disk, forget, NULL);
}

static void get_unstuck(void)
{
        for (int i = 0; i < STUCK_JOBS; i++)
                sem_post(&unstuck);
}

static void on_full(void *ctx, bool is_full)
{
        struct agent *s = ctx;

        s->is_full = is_full;
}

static struct spool_file *begin_nth(struct agent *s, int n)
{
        char id[40];

        snprintf(id, sizeof id, "44444444-4444-4444-8444-%012d", n);
        return begin(s, id);
}

static size_t pending_of_all(struct spool_file *const *all, size_t count)
{
        size_t sum = 0;

        for (size_t i = 0; i < count; i++)
                sum += spool_pending(all[i]);
        return sum;
}

/* Each holds one output of its terminal, which is six times as long in its recording. */
static void recordings_share_a_bound_of_memory(void **state)
{
        struct agent *s = *state;
        static char shown[64 * KiB];
        struct spool_file *all[RECORDINGS];

        memset(shown, 0x80, sizeof shown); /* no UTF-8 */
        s->is_away = true;
        spool_on_full(s->spool, on_full, s);
        for (int i = 0; i < RECORDINGS; i++)
                all[i] = begin_nth(s, i);
        get_stuck(s);
        for (int round = 0; round < 10; round++)
                for (size_t i = 0; i < RECORDINGS; i++)
                        if (!spool_must_wait(all[i]))
                                spool_output(all[i], str_of_bytes(shown, sizeof shown));
        size_t most = pending_of_all(all, RECORDINGS), waiting = 0;
        bool was_full = s->is_full;
        for (size_t i = 0; i < RECORDINGS; i++)
                waiting += spool_must_wait(all[i]);
        get_unstuck();
        assert_in_range(most, LIMIT_SPOOL_WAITING_ALL, LIMIT_SPOOL_WAITING_ALL + 8 * sizeof shown);
        assert_true(was_full);
        assert_int_equal(waiting, RECORDINGS); /* also empty ones */
        await(s, !s->is_full && pending_of_all(all, RECORDINGS) == 0);
        for (size_t i = 0; i < RECORDINGS; i++) {
                assert_false(spool_must_wait(all[i]));
                spool_finish(all[i]);
        }
}

static void sizes_of_a_terminal_wait_like_its_bytes(void **state)
{
        struct agent *s = *state;
        struct spool_file *f = begin(s, first_id);
        size_t n = 0;

        get_stuck(s);
        while (spool_pending(f) <= LIMIT_SPOOL_WAITING && n++ < LIMIT_SPOOL_WAITING)
                spool_resize(f, (uint32_t)(80 + n % 2), 24);
        size_t pending = spool_pending(f);
        get_unstuck();
        assert_true(pending > LIMIT_SPOOL_WAITING);
        await(s, !spool_must_wait(f));
        spool_finish(f);
}

/* ---- many recordings that end at once -------------------------------------------------------------------------------------------- */

static size_t folder_reads;

/* In place of libc's, for the spool. */
DIR *fdopendir(int fd)
{
        DIR *(*real)(int) = NULL;

        *(void **)&real = dlsym(RTLD_NEXT, "fdopendir");
        folder_reads++;
        return real(fd);
}

/* The folder has a file of each. */
static void reads_the_folder_a_few_times_when_all_end(void **state)
{
        struct agent *s = *state;

        s->is_away = true;
        for (int i = 0; i < RECORDINGS; i++) {
                struct spool_file *f = begin_nth(s, i);
                spool_publish(f);
                spool_output(f, STR("left"));
                spool_finish(f);
        }
        folder_reads = 0;
        s->is_away = false;
        await(s, files_in(s->dir) == 0);
        assert_in_range(folder_reads, 1, 20);
}

/* ---- a folder that is full ----------------------------------------------------------------------------------------------------- */

/* A sparse file of an earlier run that leaves this much of the limit. */
static void given_room_left(struct agent *s, off_t room)
{
        AUTO_MEM char *path = path_in(s->dir, "22222222-2222-4222-8222-222222222222.damaged");
        int fd = open(path, O_WRONLY | O_CREAT, 0600);

        assert_int_equal(ftruncate(fd, (off_t)LIMIT_SPOOL_MIB * MiB - room), 0);
        close(fd);
        end_spool(s);
        s->spool = spool_open(s, s->dir);
}

static void begins_nothing_in_a_folder_that_is_full(void **state)
{
        struct agent *s = *state;
        const struct recording_header header = { .columns = 80, .rows = 24 };
        struct spool_file *f = NULL;

        given_room_left(s, 0);
        AUTO_PTR(error) err = spool_begin(s->spool, str_of(first_id), STR("alice"), &header, on_failed, s, &f);
        assert_non_null(err);
        assert_non_null(strstr(err->what, "recordings that the cluster has not received, which is the maximum"));
        assert_int_equal(files_in(s->dir), 1);
}

static void ends_a_recording_that_fills_the_folder(void **state)
{
        struct agent *s = *state;
        AUTO(buf) flood = a_flood(1 * MiB);

        given_room_left(s, 300 * KiB);
        s->is_away = true;
        struct spool_file *f = begin(s, first_id);
        for (size_t at = 0; at < flood.len && s->failure == NULL; at += 64 * KiB) {
                spool_output(f, str_slice(buf_str(&flood), at, 64 * KiB));
                await(s, spool_pending(f) == 0);
        }
        assert_non_null(s->failure);
        assert_non_null(strstr(s->failure->what, "recordings that the cluster has not received, which is the maximum"));
        spool_finish(f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
                T(recordings_share_a_bound_of_memory),
                T(sizes_of_a_terminal_wait_like_its_bytes),
                T(reads_the_folder_a_few_times_when_all_end),
                T(begins_nothing_in_a_folder_that_is_full),
                T(ends_a_recording_that_fills_the_folder),
#undef T
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
