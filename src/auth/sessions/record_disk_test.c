/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/sessions/record_disk.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "loop/loop.h"
#include "os/file_testing.h"

enum { FILES = 6 };

/* ---- the disk: these stand before libc's ------------------------------------------------------------------- */

static struct {
        char calls[64]; /* 'w': a write, 's': a sync */
        size_t count;
        int failing_fd;        /* the file with a failing sync */
        struct duration delay; /* that each sync seems to take, in the time that record_disk.c measures */
        sem_t *gate;           /* each sync waits for it; NULL: none does */
        uint64_t delayed_ns;
        uint64_t last_sync_ns, pause_ns; /* from the last sync to the write after it */
} disk;

static void note_call(char call)
{
        if (disk.count < sizeof disk.calls - 1)
                disk.calls[disk.count++] = call;
}

static uint64_t real_ns(void)
{
        return (uint64_t)clock_now(clock_system()).ns;
}

uint64_t uv_hrtime(void)
{
        return real_ns() + disk.delayed_ns;
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t offset)
{
        note_call('w');
        if (disk.last_sync_ns != 0)
                disk.pause_ns = real_ns() - disk.last_sync_ns;
        return syscall(SYS_pwrite64, fd, bytes, len, offset);
}

int fdatasync(int fd)
{
        note_call('s');
        if (disk.gate != NULL)
                sem_wait(disk.gate);
        disk.delayed_ns += (uint64_t)disk.delay.ns;
        disk.last_sync_ns = real_ns();
        if (fd == disk.failing_fd) {
                errno = EIO;
                return -1;
        }
        return (int)syscall(SYS_fdatasync, fd);
}

/* ---- fixture ----------------------------------------------------------------------------------------------- */

struct recording {
        struct fixture *f;
        struct record_file file;
        struct record_append append;
        bool is_done, is_released;
};

struct fixture {
        struct loop loop;
        struct record_disk *disk;
        char *dir;
        struct buf whole; /* a recording */
        struct recording recordings[FILES];
        size_t waiting;
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);
        struct recording_header header = { .columns = 80, .rows = 24, .term = STR("xterm") };
        struct recording_writer *w = recording_writer_new(&header);

        recording_output(w, MILLISECONDS(1), STR("hello"));
        recording_finish(w, SECONDS(1));
        f->whole = BUF_MAX(MiB);
        buf_put(&f->whole, recording_drain(w));
        recording_writer_free(w);
        assert_null(loop_init(&f->loop, NULL));
        f->dir = test_dir_new();
        f->disk = record_disk_new(&f->loop);
        for (int i = 0; i < FILES; i++) {
                struct record_mark noted = { 0 };
                bool was_altered;
                AUTO_MEM char *id = mem_printf("aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaa%d", i);

                f->recordings[i].f = f;
                assert_null(record_file_open(f->dir, str_of(id), &noted, &f->recordings[i].file, &was_altered));
        }
        memset(&disk, 0, sizeof disk);
        disk.failing_fd = -1;
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        record_disk_free(f->disk);
        loop_release(&f->loop);
        for (int i = 0; i < FILES; i++)
                record_file_release(&f->recordings[i].file);
        test_dir_free(f->dir);
        buf_release(&f->whole);
        free(f);
        return 0;
}

static void on_appended(void *ctx)
{
        struct recording *r = ctx;

        r->is_done = true;
        r->f->waiting--;
}

static void on_released(void *ctx)
{
        struct recording *r = ctx;

        r->is_released = true;
        r->f->waiting--;
}

static void append(struct fixture *f, int i, size_t from, size_t len)
{
        struct recording *r = &f->recordings[i];

        f->waiting++;
        r->is_done = false;
        record_disk_append(f->disk, &r->append, &r->file, str_slice(buf_str(&f->whole), from, len), on_appended, r);
}

static void wait_all(struct fixture *f)
{
        while (f->waiting > 0)
                uv_run(&f->loop.uv, UV_RUN_ONCE);
}

/* ---- rounds ------------------------------------------------------------------------------------------------ */

static void writes_all_recordings_before_the_first_sync(void **state)
{
        struct fixture *f = *state;

        for (int i = 0; i < FILES; i++)
                append(f, i, 0, 10);
        wait_all(f);
        assert_string_equal(disk.calls, "wwwwwwssssss");
        for (int i = 0; i < FILES; i++) {
                assert_null(f->recordings[i].append.err);
                assert_int_equal(f->recordings[i].file.size, 10);
        }
}

static void a_sync_that_fails_concerns_its_recording_alone(void **state)
{
        struct fixture *f = *state;

        disk.failing_fd = f->recordings[1].file.fd;
        for (int i = 0; i < FILES; i++)
                append(f, i, 0, 10);
        wait_all(f);
        for (int i = 0; i < FILES; i++) {
                assert_int_equal(f->recordings[i].append.err == NULL, i != 1);
                assert_int_equal(f->recordings[i].file.size, i == 1 ? 0 : 10);
                assert_int_equal(lseek(f->recordings[i].file.fd, 0, SEEK_END), i == 1 ? 0 : 10);
                error_free(f->recordings[i].append.err);
        }
        disk.failing_fd = -1;
        append(f, 1, 0, 20); /* the node sends it again */
        wait_all(f);
        assert_null(f->recordings[1].append.err);
}

static void bytes_that_are_no_recording_are_not_written(void **state)
{
        struct fixture *f = *state;

        append(f, 0, 5, 20);
        append(f, 1, 0, 20);
        wait_all(f);
        assert_non_null(f->recordings[0].append.err);
        assert_int_equal(f->recordings[0].append.err->code, ERROR_DATA_LOSS);
        assert_null(f->recordings[1].append.err);
        assert_string_equal(disk.calls, "ws");
        error_free(f->recordings[0].append.err);
}

static void leaves_the_disk_alone_as_long_as_a_round_took(void **state)
{
        struct fixture *f = *state;

        disk.delay = MILLISECONDS(20);
        append(f, 0, 0, 10);
        wait_all(f);
        append(f, 0, 10, 10);
        wait_all(f);
        assert_true(disk.pause_ns >= (uint64_t)MILLISECONDS(19).ns);
}

/* ---- ends -------------------------------------------------------------------------------------------------- */

static void a_cancelled_append_is_written_and_released(void **state)
{
        struct fixture *f = *state;

        append(f, 0, 0, 10);
        record_append_cancel(&f->recordings[0].append, on_released);
        wait_all(f);
        assert_true(f->recordings[0].is_released);
        assert_false(f->recordings[0].is_done);
        assert_int_equal(f->recordings[0].file.size, 10);
}

static void is_freed_after_its_pending_jobs(void **state)
{
        struct fixture *f = *state;

        sem_t gate;

        sem_init(&gate, 0, 0);
        disk.gate = &gate;
        append(f, 0, 0, 10);
        while (disk.count < 2)
                uv_run(&f->loop.uv, UV_RUN_NOWAIT); /* the first round is under way */
        append(f, 1, 0, 10);
        record_disk_free(f->disk);
        f->disk = NULL;
        sem_post(&gate);
        sem_post(&gate);
        loop_release(&f->loop);
        sem_destroy(&gate);
        assert_int_equal(f->waiting, 0);
        assert_int_equal(f->recordings[1].file.size, 10);
        assert_null(loop_init(&f->loop, NULL));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(writes_all_recordings_before_the_first_sync),
                TEST(a_sync_that_fails_concerns_its_recording_alone),
                TEST(bytes_that_are_no_recording_are_not_written),
                TEST(leaves_the_disk_alone_as_long_as_a_round_took),
                TEST(a_cancelled_append_is_written_and_released),
                TEST(is_freed_after_its_pending_jobs),
        };
#undef TEST

        return cmocka_run_group_tests(tests, NULL, NULL);
}
