/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks that fill up and disks that fail, at each write and each sync in turn.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "store/store_testing.h"

/* ---- a disk that fails on request: these stand before libc's for SQLite, too ------------------------- */

static struct {
        int writes_left; /* < 0: never fails */
        int syncs_left;
        int errnum; /* of both; 0: a write is short */
} fault = { -1, -1, 0 };

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t offset)
{
        if (fault.writes_left == 0) { /* and from then on, as full disks do */
                if (fault.errnum == 0 && len > 1)
                        return syscall(SYS_pwrite64, fd, bytes, len / 2, offset);
                errno = fault.errnum == 0 ? ENOSPC : fault.errnum;
                return -1;
        }
        if (fault.writes_left > 0)
                fault.writes_left--;
        return syscall(SYS_pwrite64, fd, bytes, len, offset);
}

int fdatasync(int fd)
{
        if (fault.syncs_left == 0) { /* only this one: the kernel reports a lost page once */
                fault.syncs_left = -1;
                errno = EIO;
                return -1;
        }
        if (fault.syncs_left > 0)
                fault.syncs_left--;
        return (int)syscall(SYS_fdatasync, fd);
}

static void repair(void)
{
        fault.writes_left = -1;
        fault.syncs_left = -1;
}

/* ---- words ------------------------------------------------------------------------------------------- */

static const struct walltime never = { 0 };

static enum error_code put(struct store_bench *b, const char *key, struct str value)
{
        struct error *err = store_bench_put(b, key, value, never, NULL);
        enum error_code code = err == NULL ? 0 : err->code;

        error_free(err);
        return code;
}

static bool holds(struct store_bench *b, const char *key, size_t len)
{
        AUTO_MEM char *value = NULL;

        assert_null(store_bench_get(b, key, &value, NULL));
        return value != NULL && strlen(value) == len;
}

static void open_store(struct store_bench *b, const char *dir)
{
        assert_null(store_bench_open(b, (struct store_options){ .path = dir }));
}

/* ---- full disks -------------------------------------------------------------------------------------- */

/* One run of a store with a disk that is full from the nth write on; returns whether the disk was full in time. */
static bool fill_up_at(int nth, int errnum, const char *dir, struct str big)
{
        struct store_bench b;

        open_store(&b, dir);
        assert_int_equal(put(&b, "/before", STR("12345")), 0);
        fault.errnum = errnum;
        fault.writes_left = nth;
        enum error_code small = put(&b, "/small", STR("123"));
        enum error_code large = put(&b, "/large", big);
        assert_true(small == 0 || small == ERROR_RESOURCE_EXHAUSTED);
        assert_true(large == 0 || large == ERROR_RESOURCE_EXHAUSTED);
        assert_true(holds(&b, "/before", 5)); /* reading continues */
        assert_true(holds(&b, "/small", 3) == (small == 0));
        repair();
        assert_int_equal(put(&b, "/after", STR("1234")), 0); /* and so does writing, once there is space */
        store_bench_close(&b);

        open_store(&b, dir);
        assert_true(holds(&b, "/before", 5));
        assert_true(holds(&b, "/after", 4));
        assert_true(holds(&b, "/small", 3) == (small == 0));
        assert_true(holds(&b, "/large", big.len) == (large == 0));
        store_bench_close(&b);
        return large != 0;
}

static void a_full_disk_refuses_writes_and_loses_nothing(void **state)
{
        static const int errnums[] = { ENOSPC, EDQUOT, EFBIG, 0 };
        AUTO_MEM char *big = mem_alloc(40 * KiB + 1);

        (void)state;
        memset(big, 'x', 40 * KiB);
        for (size_t kind = 0; kind < ARRAY_LEN(errnums); kind++) {
                bool was_full = true;

                for (int nth = 0; was_full; nth += 1 + nth / 4) {
                        AUTO_MEM char *dir = store_bench_dir();

                        was_full = fill_up_at(nth, errnums[kind], dir, str_of(big));
                        store_bench_remove(dir);
                }
        }
}

/* ---- failing disks ----------------------------------------------------------------------------------- */

enum { ACKNOWLEDGED = 10, REFUSED = 11 };

/* The exit of a process that writes `count` values while its disk fails. */
static int outcome_of(int nth_write, int nth_sync, int count)
{
        AUTO_MEM char *dir = store_bench_dir();
        AUTO_MEM char *big = mem_alloc(LIMIT_STORE_VALUE);
        int status;

        pid_t child = fork();
        if (child == 0) {
                struct store_bench b;

                close(STDERR_FILENO);
                open_store(&b, dir);
                fault.errnum = EIO;
                fault.writes_left = nth_write;
                fault.syncs_left = nth_sync;
                for (int i = 0; i < count; i++) {
                        memset(big, 'a' + i % 26, LIMIT_STORE_VALUE); /* SQLite does not write unchanged values */
                        if (put(&b, "/key", str_of_bytes(big, count == 1 ? 1 : LIMIT_STORE_VALUE)) != 0)
                                _exit(REFUSED);
                }
                _exit(ACKNOWLEDGED);
        }
        waitpid(child, &status, 0);
        store_bench_remove(dir);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static void a_failed_write_or_sync_ends_the_process_unacknowledged(void **state)
{
        (void)state;
        assert_int_equal(outcome_of(-1, -1, 1), ACKNOWLEDGED);
        assert_int_equal(outcome_of(0, -1, 1), EXIT_FAILURE);
        assert_int_equal(outcome_of(-1, 0, 1), EXIT_FAILURE);
}

static void a_failed_sync_of_a_checkpoint_ends_the_process(void **state)
{
        enum { FILLS_THE_LOG = LIMIT_STORE_LOG / LIMIT_STORE_VALUE + 4 };

        (void)state;
        assert_int_equal(outcome_of(-1, -1, FILLS_THE_LOG), ACKNOWLEDGED);
        /* Whichever of the last syncs fails, a commit's or the database's, nothing after it is acknowledged. */
        for (int nth = FILLS_THE_LOG - 10; nth < FILLS_THE_LOG; nth++)
                assert_int_equal(outcome_of(-1, nth, FILLS_THE_LOG), EXIT_FAILURE);
}

/* ---- space ------------------------------------------------------------------------------------------- */

/* As joins do: one item that stays and one that is written and removed again. */
static void items_that_are_deleted_soon_leave_no_gaps(void **state)
{
        enum { ROUNDS = 20, EACH = 100, STAYS = 500, GOES = 900 };
        AUTO_MEM char *dir = store_bench_dir();
        AUTO_MEM char *file = mem_printf("%s/sqlite.db", dir);
        struct store_bench b;
        char bytes[GOES] = { 0 }, key[64];
        struct stat st;

        (void)state;
        assert_null(store_bench_open(&b, (struct store_options){ .type = "sqlite", .path = dir }));
        for (int round = 0; round < ROUNDS; round++) {
                struct store_txn *add = store_txn_new(b.store), *drop = store_txn_new(b.store);

                for (int i = 0; i < EACH; i++) {
                        snprintf(key, sizeof key, "/hosts/%d-%d", round, i);
                        store_txn_put(add, str_of(key), str_of_bytes(bytes, STAYS), never);
                        snprintf(key, sizeof key, "/way/%d-%d", round, i);
                        store_txn_put_brief(add, str_of(key), str_of_bytes(bytes, GOES));
                        store_txn_delete(drop, str_of(key));
                }
                assert_null(store_bench_commit(&b, add, NULL));
                assert_null(store_bench_commit(&b, drop, NULL));
        }
        store_bench_close(&b);
        assert_int_equal(stat(file, &st), 0);
        print_message("%lld bytes for each that stays\n", (long long)st.st_size / (ROUNDS * EACH));
        assert_true(st.st_size < ROUNDS * EACH * STAYS * 3 / 2);
        store_bench_remove(dir);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                /* These fork, and come first: libuv's threads do not live through it. */
                cmocka_unit_test(a_failed_write_or_sync_ends_the_process_unacknowledged),
                cmocka_unit_test(a_failed_sync_of_a_checkpoint_ends_the_process),
                cmocka_unit_test(a_full_disk_refuses_writes_and_loses_nothing),
                cmocka_unit_test(items_that_are_deleted_soon_leave_no_gaps),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
