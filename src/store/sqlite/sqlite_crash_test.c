/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A writer is killed at random moments; acknowledged transactions must be there at the next start, and a
 * transaction must be there as a whole or not at all.
 *
 * The parent only forks, counts and kills: libuv's threads do not live through a fork.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bug.h"
#include "base/mem.h"
#include "store/store_testing.h"

enum { ROUNDS = 20, WRITERS = 8, ACKS_MAX = 60 };

struct writer {
        struct store_bench *b;
        uint32_t number; /* being written */
        int pipe;
};

static uint32_t next_number;

static void write_next(struct writer *w);

static void on_committed(void *ctx, uint64_t revision, struct error *err)
{
        struct writer *w = ctx;

        (void)revision;
        if (err != NULL || write(w->pipe, &w->number, sizeof w->number) != (ssize_t)sizeof w->number)
                _exit(3);
        write_next(w);
}

/* Two halves, and one key that every transaction changes. */
static void write_next(struct writer *w)
{
        struct store_txn *t = store_txn_new(w->b->store);
        AUTO_MEM char *left = mem_printf("/left/%u", next_number);
        AUTO_MEM char *right = mem_printf("/right/%u", next_number);
        AUTO_MEM char *value = mem_printf("value of %u", next_number);

        w->number = next_number++;
        store_txn_put(t, str_of(left), str_of(value), (struct walltime){ 0 });
        store_txn_put(t, STR("/last"), str_of(value), (struct walltime){ 0 });
        store_txn_put(t, str_of(right), str_of(value), (struct walltime){ 0 });
        store_txn_commit(t, on_committed, w);
}

static NO_RETURN void run_writer(const char *dir, uint32_t first, int pipe)
{
        struct store_bench b;
        struct writer writers[WRITERS];

        if (store_bench_open(&b, (struct store_options){ .path = dir }) != NULL)
                _exit(2);
        next_number = first;
        for (size_t i = 0; i < WRITERS; i++) {
                writers[i] = (struct writer){ .b = &b, .pipe = pipe };
                write_next(&writers[i]);
        }
        loop_run(&b.loop);
        _exit(4); /* it runs until it is killed */
}

static bool holds_value(struct store_bench *b, const char *side, uint32_t number, bool *ret_exists)
{
        AUTO_MEM char *key = mem_printf("/%s/%u", side, number);
        AUTO_MEM char *expected = mem_printf("value of %u", number);
        AUTO_MEM char *value = NULL;

        if (store_bench_get(b, key, &value, NULL) != NULL)
                return false;
        *ret_exists = value != NULL;
        return value == NULL || strcmp(value, expected) == 0;
}

/* Exits with 0 if all acknowledged numbers are there and no transaction is there in part. */
static NO_RETURN void run_verifier(const char *dir, const bool *acknowledged, uint32_t end)
{
        struct store_bench b;

        if (store_bench_open(&b, (struct store_options){ .path = dir }) != NULL)
                _exit(2);
        for (uint32_t n = 0; n < end; n++) {
                bool left = false, right = false;

                if (!holds_value(&b, "left", n, &left) || !holds_value(&b, "right", n, &right))
                        _exit(3);
                if (left != right)
                        _exit(4);
                if (acknowledged[n] && !left)
                        _exit(5);
        }
        store_bench_close(&b);
        _exit(0);
}

static uint32_t dice(uint32_t sides)
{
        uint32_t n;

        if (getrandom(&n, sizeof n, 0) != (ssize_t)sizeof n)
                bug("no random numbers");
        return n % sides;
}

/* Reads acknowledgements until it is time to kill, then those that were still in the pipe. */
static uint32_t collect(pid_t writer, int pipe, bool *acknowledged, uint32_t end)
{
        uint32_t number, left = 1 + dice(ACKS_MAX);

        while (read(pipe, &number, sizeof number) == (ssize_t)sizeof number) {
                assert_true(number < (uint32_t)ROUNDS * 10000);
                acknowledged[number] = true;
                if (number >= end)
                        end = number + 1;
                if (--left == 0)
                        kill(writer, SIGKILL);
        }
        return end;
}

static void acknowledged_writes_survive_kill_9(void **state)
{
        AUTO_MEM char *dir = store_bench_dir();
        AUTO_MEM bool *acknowledged = mem_array((size_t)ROUNDS * 10000 + WRITERS, sizeof(bool));
        uint32_t end = 0;

        (void)state;
        for (int round = 0; round < ROUNDS; round++) {
                int ends[2], status;

                assert_int_equal(pipe(ends), 0);
                pid_t writer = fork();
                if (writer == 0) {
                        close(ends[0]);
                        run_writer(dir, end, ends[1]);
                }
                close(ends[1]);
                end = collect(writer, ends[0], acknowledged, end) + WRITERS; /* those in flight may be there too */
                close(ends[0]);
                waitpid(writer, &status, 0);
                assert_true(WIFSIGNALED(status));
                pid_t verifier = fork();
                if (verifier == 0)
                        run_verifier(dir, acknowledged, end);
                waitpid(verifier, &status, 0);
                assert_true(WIFEXITED(status));
                assert_int_equal(WEXITSTATUS(status), 0);
        }
        store_bench_remove(dir);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(acknowledged_writes_survive_kill_9),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
