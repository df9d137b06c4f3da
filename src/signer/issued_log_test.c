/* SPDX-License-Identifier: Apache-2.0 */
/* The log of issued certificates: the lines kept, the disk space used, and the state after a crash. */
#include "signer/issued_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "os/file.h"
#include "pki/pki_testing.h"

static int pwrite_errnum; /* the archive is written with pwrite, the log with write */

ssize_t pwrite(int fd, const void *from, size_t len, off_t at)
{
        if (pwrite_errnum != 0) {
                errno = pwrite_errnum;
                return -1;
        }
        if (lseek(fd, at, SEEK_SET) < 0)
                return -1;
        return write(fd, from, len);
}

struct fixture {
        char dir[64];
        char *path, *packed[2];
        struct issued_log log;
        struct buf expected; /* all lines, oldest first */
        unsigned count;
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        snprintf(f->dir, sizeof f->dir, "/tmp/issued_log_test.XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        f->path = mem_printf("%s/issued.log", f->dir);
        f->packed[0] = mem_printf("%s/issued.log.1.gz", f->dir);
        f->packed[1] = mem_printf("%s/issued.log.2.gz", f->dir);
        f->expected = BUF_MAX(64 * MiB);
        pwrite_errnum = 0;
        assert_done(issued_log_open(&f->log, f->path));
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        issued_log_release(&f->log);
        unlink(f->path);
        unlink(f->packed[0]);
        unlink(f->packed[1]);
        rmdir(f->dir);
        free(f->path);
        free(f->packed[0]);
        free(f->packed[1]);
        buf_release(&f->expected);
        free(f);
        return 0;
}

static void given_new_start(struct fixture *f)
{
        issued_log_release(&f->log);
        assert_done(issued_log_open(&f->log, f->path));
}

/* Adds certificates until the log has ISSUED_LOG_PLAIN bytes. */
static void given_many_certificates(struct fixture *f)
{
        off_t before = f->log.size;

        while (f->log.size < before + ISSUED_LOG_PLAIN) {
                for (int i = 0; i < 64; i++) {
                        AUTO_MEM char *host = mem_printf("host-%u", f->count++);
                        const struct issued_order order = { .host_id = str_of(host), .reason = "join" };
                        const struct issued one = { .kind = "x509", .serial = STR("00ff"), .key = str_of(host) };

                        assert_done(issued_log_add(&f->log, &order, (struct walltime){ 0 }, &one, 1));
                }
                buf_put(&f->expected, buf_str(&f->log.lines));
                assert_done(issued_log_commit(&f->log));
        }
}

static off_t size_of(const char *path)
{
        struct stat st;

        assert_int_equal(stat(path, &st), 0);
        return st.st_size;
}

static void unpack(const char *path, struct buf *out)
{
        gzFile file = gzopen(path, "rb");
        char chunk[16 * KiB];
        int n;

        assert_non_null(file);
        while ((n = gzread(file, chunk, sizeof chunk)) > 0)
                buf_put(out, str_of_bytes(chunk, (size_t)n));
        assert_int_equal(n, 0);
        assert_int_equal(gzclose(file), Z_OK);
}

/* Every line is there, once and in order: in one archive, in the other, in the log. */
static void assert_all_kept(struct fixture *f, int older, int newer)
{
        AUTO(buf) found = BUF_MAX(64 * MiB);
        AUTO(buf) log = BUF_MAX(64 * MiB);

        unpack(f->packed[older], &found);
        unpack(f->packed[newer], &found);
        assert_done(file_read(f->path, &log));
        buf_put(&found, buf_str(&log));
        assert_int_equal(found.len, f->expected.len);
        assert_true(str_equal(buf_str(&found), buf_str(&f->expected)));
}

/* ---- tests ---------------------------------------------------------------------------------------------------- */

static void packs_lines_when_there_are_many(void **state)
{
        struct fixture *f = *state;

        for (int i = 0; i < 3; i++) {
                assert_int_equal(f->log.size, 0);
                assert_done(issued_log_rotate(&f->log));
                given_many_certificates(f);
                assert_done(issued_log_rotate(&f->log));
                assert_int_equal(size_of(f->path), 0);
        }
        given_many_certificates(f); /* not packed yet */
        assert_all_kept(f, 1, 0);
        assert_true(size_of(f->packed[0]) < 3 * ISSUED_LOG_PLAIN / 4);
        given_new_start(f);
        assert_int_equal(size_of(f->path), 0);
        assert_all_kept(f, 1, 0);
}

static void takes_a_bounded_part_of_the_disk(void **state)
{
        struct fixture *f = *state;
        off_t most = ISSUED_LOG_PLAIN / 4, piece = 0;

        for (int i = 0; i < 12; i++) {
                f->log.archive.most = most;
                given_many_certificates(f);
                assert_done(issued_log_rotate(&f->log));
                if (piece == 0)
                        piece = size_of(f->packed[0]) * 5 / 4;
                assert_true(size_of(f->packed[0]) < most + piece);
                assert_true(size_of(f->packed[1]) < most + piece);
                if (i % 5 == 4)
                        given_new_start(f);
        }
        assert_true(size_of(f->packed[0]) > 0 && size_of(f->packed[1]) > 0);
        /* The last lines are left, without a gap. */
        bool first_is_newer = f->log.archive.files[0].number > f->log.archive.files[1].number;
        AUTO(buf) found = BUF_MAX(64 * MiB);
        unpack(f->packed[first_is_newer], &found);
        unpack(f->packed[!first_is_newer], &found);
        assert_true(found.len > 2 * ISSUED_LOG_PLAIN && found.len < f->expected.len);
        assert_true(str_equal(buf_str(&found), str_slice(buf_str(&f->expected), f->expected.len - found.len, f->expected.len)));
}

static void a_crash_before_the_log_is_emptied_doubles_nothing(void **state)
{
        struct fixture *f = *state;
        bool dropped;

        given_many_certificates(f);
        assert_done(issued_archive_add(&f->log.archive, f->log.fd, f->log.size, &dropped));
        given_new_start(f);
        assert_int_equal(size_of(f->path), 0);
        assert_all_kept(f, 1, 0);
}

/* A crash while a member is written, at `cut` bytes of it, or before its length is. */
static void assert_torn_is_repaired(struct fixture *f, bool has_length, off_t cut)
{
        bool dropped;
        off_t before = f->log.archive.files[0].size;

        given_many_certificates(f);
        assert_done(issued_archive_add(&f->log.archive, f->log.fd, f->log.size, &dropped));
        if (!has_length) {
                static const char none[4];

                assert_int_equal(pwrite(f->log.archive.files[0].fd, none, sizeof none, before + 16), sizeof none);
        }
        assert_int_equal(truncate(f->packed[0], size_of(f->packed[0]) - cut), 0);
        given_new_start(f); /* which packs the lines again */
        assert_int_equal(size_of(f->path), 0);
        assert_all_kept(f, 1, 0);
}

static void a_crash_while_packing_loses_nothing(void **state)
{
        struct fixture *f = *state;

        assert_torn_is_repaired(f, true, 1);
        assert_torn_is_repaired(f, true, 5000);
        assert_torn_is_repaired(f, false, 0);
        assert_torn_is_repaired(f, true, f->log.archive.files[0].size - f->log.archive.files[0].last - 3);
}

static void truncates_a_member_that_never_reached_the_disk(void **state)
{
        struct fixture *f = *state;
        static const char zeros[4096];
        bool dropped;

        given_many_certificates(f);
        assert_done(issued_archive_add(&f->log.archive, f->log.fd, f->log.size, &dropped));
        assert_int_equal(pwrite(f->log.archive.files[0].fd, zeros, sizeof zeros, 4096), sizeof zeros);
        given_new_start(f);
        assert_all_kept(f, 1, 0);
}

static void works_without_packing_while_the_disk_is_full(void **state)
{
        struct fixture *f = *state;

        given_many_certificates(f);
        pwrite_errnum = ENOSPC;
        assert_done(issued_log_rotate(&f->log));
        assert_true(size_of(f->path) >= ISSUED_LOG_PLAIN);
        given_many_certificates(f);
        assert_done(issued_log_rotate(&f->log));
        pwrite_errnum = 0;
        given_many_certificates(f);
        assert_done(issued_log_rotate(&f->log));
        assert_int_equal(size_of(f->path), 0);
        assert_all_kept(f, 1, 0);
}

static void a_failing_disk_ends_it(void **state)
{
        struct fixture *f = *state;

        given_many_certificates(f);
        pwrite_errnum = EIO;
        struct error *err = issued_log_rotate(&f->log);
        assert_non_null(err);
        assert_int_equal(err->code, ERROR_DATA_LOSS);
        error_free(err);
        pwrite_errnum = 0;
        given_new_start(f);
        assert_all_kept(f, 1, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(packs_lines_when_there_are_many, set_up, tear_down),
                cmocka_unit_test_setup_teardown(takes_a_bounded_part_of_the_disk, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_crash_before_the_log_is_emptied_doubles_nothing, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_crash_while_packing_loses_nothing, set_up, tear_down),
                cmocka_unit_test_setup_teardown(truncates_a_member_that_never_reached_the_disk, set_up, tear_down),
                cmocka_unit_test_setup_teardown(works_without_packing_while_the_disk_is_full, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_failing_disk_ends_it, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
