/* SPDX-License-Identifier: Apache-2.0 */
#include "signer/ca_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error_testing.h"
#include "base/mem.h"
#include "os/file.h"

/* A disk that is full: bytes by which a file can grow, and of the next write; -1: as many as are wanted. */
static off_t growth_left = -1;
static ssize_t next_write = -1;

ssize_t pwrite(int fd, const void *from, size_t len, off_t at)
{
        struct stat st;
        off_t end = at + (off_t)len;

        if (next_write >= 0 && (size_t)next_write <= len) {
                ssize_t n = syscall(SYS_pwrite64, fd, from, (size_t)next_write, at);

                next_write = -1;
                errno = ENOSPC;
                return n < 0 ? n : -1;
        }
        if (growth_left < 0)
                return syscall(SYS_pwrite64, fd, from, len, at);
        assert_int_equal(fstat(fd, &st), 0);
        if (end <= st.st_size)
                return syscall(SYS_pwrite64, fd, from, len, at);
        off_t most = st.st_size + growth_left - at;
        if (most <= 0) {
                errno = ENOSPC;
                return -1;
        }
        ssize_t n = syscall(SYS_pwrite64, fd, from, (size_t)most < len ? (size_t)most : len, at);
        growth_left -= at + n - st.st_size;
        return n;
}

struct fixture {
        char dir[64];
        struct ca_journal journal;
        struct buf record;
};

static char *path_of(const struct fixture *f)
{
        return mem_printf("%s/rotation", f->dir);
}

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        growth_left = -1;
        next_write = -1;
        snprintf(f->dir, sizeof f->dir, "/tmp/ca_journal_test.XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        f->record = BUF_MAX(CA_JOURNAL_RECORD);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *path = path_of(f);

        ca_journal_release(&f->journal);
        unlink(path);
        rmdir(f->dir);
        buf_release(&f->record);
        free(f);
        return 0;
}

/* Opens it as the next start does; f->record is the record. */
static struct error *reopened(struct fixture *f)
{
        ca_journal_release(&f->journal);
        buf_clear(&f->record);
        return ca_journal_open(&f->journal, f->dir, &f->record);
}

static void assert_record(struct fixture *f, const char *text)
{
        assert_done(reopened(f));
        assert_true(str_equal(buf_str(&f->record), str_of(text)));
}

static void file_of(const struct fixture *f, struct buf *out)
{
        AUTO_MEM char *path = path_of(f);

        buf_clear(out);
        assert_done(file_read(path, out));
}

static void overwrite(const struct fixture *f, const char *bytes, size_t len, off_t at)
{
        AUTO_MEM char *path = path_of(f);
        int fd = open(path, O_WRONLY);

        assert_int_equal(pwrite(fd, bytes, len, at), (ssize_t)len);
        close(fd);
}

static void returns_the_last_record_after_a_restart(void **state)
{
        struct fixture *f = *state;

        assert_record(f, "");
        assert_done(ca_journal_write(&f->journal, STR("first")));
        assert_record(f, "first");
        assert_done(ca_journal_write(&f->journal, STR("second")));
        assert_done(ca_journal_write(&f->journal, STR("third")));
        assert_record(f, "third");
}

static void leaves_nothing_of_an_earlier_record_on_the_disk(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) file = BUF_MAX(2 * CA_JOURNAL_SLOT + 1);

        assert_done(reopened(f));
        assert_done(ca_journal_write(&f->journal, STR("an old private key, which is long")));
        assert_done(ca_journal_write(&f->journal, STR("new")));
        file_of(f, &file);
        assert_int_equal(file.len, 2 * CA_JOURNAL_SLOT);
        assert_null(memmem(file.ptr, file.len, "private key", 11));
}

/* A write that ends after each number of bytes: the record before it counts, until it is whole. */
static void keeps_the_former_record_until_the_new_one_is_whole(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) before = BUF_MAX(2 * CA_JOURNAL_SLOT + 1);
        AUTO(buf) after = BUF_MAX(2 * CA_JOURNAL_SLOT + 1);

        assert_done(reopened(f));
        assert_done(ca_journal_write(&f->journal, STR("before")));
        file_of(f, &before);
        assert_done(ca_journal_write(&f->journal, STR("after it")));
        file_of(f, &after);
        off_t at = (off_t)f->journal.slot * CA_JOURNAL_SLOT;
        enum { WRITTEN = 52 + 8 };
        for (size_t n = 0; n <= WRITTEN; n++) {
                overwrite(f, before.ptr, before.len, 0);
                overwrite(f, after.ptr + at, n, at);
                assert_record(f, n == WRITTEN ? "after it" : "before");
        }
        /* Both are whole: the crash was before the first was wiped. */
        file_of(f, &before);
        assert_null(memmem(before.ptr, before.len, "before", 6));
}

/* The record is on the disk, and the former one cannot be wiped: the process must end, as it has not taken that step. */
static void a_failure_to_wipe_leaves_the_record_unknown(void **state)
{
        struct fixture *f = *state;
        struct rlimit all, first_slot;

        assert_done(reopened(f));
        assert_done(ca_journal_write(&f->journal, STR("before")));
        assert_int_equal(f->journal.slot, 1);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &all), 0);
        first_slot = (struct rlimit){ CA_JOURNAL_SLOT, all.rlim_max };
        signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &first_slot), 0);
        struct error *err = ca_journal_write(&f->journal, STR("after it"));
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
        assert_refused(err, ERROR_DATA_LOSS, "");
        assert_record(f, "after it");
}

/* The disk is full when the file is made: the CA works without a rotation, and a step is refused until there is room. */
static void a_full_disk_refuses_records_until_it_has_room(void **state)
{
        struct fixture *f = *state;

        growth_left = 10000;
        assert_record(f, "");
        for (int n = 0; n < 2; n++) {
                assert_refused(ca_journal_write(&f->journal, STR("first")), ERROR_RESOURCE_EXHAUSTED, "");
                assert_record(f, "");
        }
        growth_left = -1;
        assert_done(ca_journal_write(&f->journal, STR("first")));
        growth_left = 0;
        assert_done(ca_journal_write(&f->journal, STR("second")));
        assert_record(f, "second");
}

/* Also if zeros alone are missing, which the slot has anyway. */
static void a_record_without_room_leaves_the_former_one(void **state)
{
        struct fixture *f = *state;
        const struct str new = { "after it\0\0\0", 11 };
        enum { WRITTEN = 52 + 11 };

        assert_done(reopened(f));
        assert_done(ca_journal_write(&f->journal, STR("before")));
        for (ssize_t n = 0; n <= WRITTEN; n++) {
                next_write = n;
                assert_refused(ca_journal_write(&f->journal, new), ERROR_RESOURCE_EXHAUSTED, "");
                assert_int_equal(next_write, -1);
                assert_record(f, "before");
        }
        assert_done(ca_journal_write(&f->journal, new));
        assert_done(reopened(f));
        assert_true(str_equal(buf_str(&f->record), new));
}

static void takes_an_interrupted_first_write_for_none(void **state)
{
        struct fixture *f = *state;

        assert_done(reopened(f));
        assert_done(ca_journal_write(&f->journal, STR("first")));
        overwrite(f, "x", 1, (off_t)f->journal.slot * CA_JOURNAL_SLOT + 53);
        assert_record(f, "");
        assert_done(ca_journal_write(&f->journal, STR("again")));
        assert_record(f, "again");
}

static void refuses_a_journal_with_a_damaged_record_alone(void **state)
{
        struct fixture *f = *state;

        assert_done(reopened(f));
        assert_done(ca_journal_write(&f->journal, STR("first")));
        assert_done(ca_journal_write(&f->journal, STR("second")));
        overwrite(f, "x", 1, (off_t)f->journal.slot * CA_JOURNAL_SLOT + 53);
        assert_refused(reopened(f), ERROR_FAILED_PRECONDITION, "");
}

static void reads_hostile_files_without_harm(void **state)
{
        static const struct {
                const char *name, *bytes;
                size_t len;
        } rows[] = {
                { "one byte", "c", 1 },
                { "a magic alone", "ctcajnl1", 8 },
                { "a length beyond the file", "ctcajnl1\0\0\0\0\0\0\0\1\xff\xff\xff\xff", 20 },
                { "a length of the slot", "ctcajnl1\0\0\0\0\0\0\0\1\0\0\x80\0", 20 },
                { "a wrong digest", "ctcajnl1\0\0\0\0\0\0\0\1\0\0\0\1", 20 },
        };
        struct fixture *f = *state;
        AUTO_MEM char *path = path_of(f);

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                assert_done(file_write_atomic(path, str_of_bytes(rows[i].bytes, rows[i].len), 0600));
                assert_record(f, "");
        }
        assert_done(file_write_atomic(path, STR(""), 0644));
        assert_refused(reopened(f), ERROR_FAILED_PRECONDITION, "");
        AUTO(buf) big = BUF_MAX(2 * CA_JOURNAL_SLOT + 1);
        memset(buf_extend(&big, 2 * CA_JOURNAL_SLOT + 1), 0, 2 * CA_JOURNAL_SLOT + 1);
        assert_done(file_write_atomic(path, buf_str(&big), 0600));
        assert_refused(reopened(f), ERROR_FAILED_PRECONDITION, "");
}

static void refuses_a_record_that_is_too_large(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) large = BUF_MAX(CA_JOURNAL_RECORD + 1);

        memset(buf_extend(&large, CA_JOURNAL_RECORD + 1), 'x', CA_JOURNAL_RECORD + 1);
        assert_done(reopened(f));
        assert_done(ca_journal_write(&f->journal, STR("first")));
        assert_refused(ca_journal_write(&f->journal, buf_str(&large)), ERROR_RESOURCE_EXHAUSTED, "");
        assert_record(f, "first");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(returns_the_last_record_after_a_restart, set_up, tear_down),
                cmocka_unit_test_setup_teardown(leaves_nothing_of_an_earlier_record_on_the_disk, set_up, tear_down),
                cmocka_unit_test_setup_teardown(keeps_the_former_record_until_the_new_one_is_whole, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_failure_to_wipe_leaves_the_record_unknown, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_full_disk_refuses_records_until_it_has_room, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_record_without_room_leaves_the_former_one, set_up, tear_down),
                cmocka_unit_test_setup_teardown(takes_an_interrupted_first_write_for_none, set_up, tear_down),
                cmocka_unit_test_setup_teardown(refuses_a_journal_with_a_damaged_record_alone, set_up, tear_down),
                cmocka_unit_test_setup_teardown(reads_hostile_files_without_harm, set_up, tear_down),
                cmocka_unit_test_setup_teardown(refuses_a_record_that_is_too_large, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
