/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/h2_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/compiler.h"

static const size_t sizes[] = { 1, 64, 1000, 1024, 1040, 2048, 2928, 4095, 4096, 8192, 8193, 16404, 20480, 65536 };

static void blocks_of_all_sizes_do_not_overlap(void **state)
{
        struct h2_memory m;
        char *blocks[2 * ARRAY_LEN(sizes)];
        void *ctx = &m;

        (void)state;
        h2_memory_init(&m, true);
        for (size_t i = 0; i < ARRAY_LEN(blocks); i++) { /* the second time the pages are used up */
                size_t size = sizes[i % ARRAY_LEN(sizes)];

                blocks[i] = i % 3 == 0 ? m.hooks.calloc(1, size, ctx) : m.hooks.malloc(size, ctx);
                assert_non_null(blocks[i]);
                assert_int_equal((uintptr_t)blocks[i] % 16, 0);
                for (size_t at = 0; i % 3 == 0 && at < size; at++)
                        assert_int_equal(blocks[i][at], 0);
                memset(blocks[i], (int)i + 1, size);
        }
        for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
                size_t size = sizes[i % ARRAY_LEN(sizes)];

                for (size_t at = 0; at < size; at++)
                        assert_int_equal(blocks[i][at], i + 1);
                m.hooks.free(blocks[i], ctx);
        }
        h2_memory_release(&m);
        h2_memory_release(&m);
}

static void a_block_that_grows_keeps_its_bytes(void **state)
{
        struct h2_memory m;
        void *ctx = &m;

        (void)state;
        h2_memory_init(&m, true);
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
                char *block = m.hooks.realloc(NULL, sizes[i], ctx);

                memset(block, 'x', sizes[i]);
                block = m.hooks.realloc(block, 2 * sizes[i], ctx);
                for (size_t at = 0; at < sizes[i]; at++)
                        assert_int_equal(block[at], 'x');
                block = m.hooks.realloc(block, sizes[i] / 2 + 1, ctx);
                assert_int_equal(block[sizes[i] / 2], 'x');
                m.hooks.free(block, ctx);
        }
        m.hooks.free(NULL, ctx);
        h2_memory_release(&m);
}

/* A program that exits with an open connection has no leak, for the leak detector either. */
static void an_exit_with_an_open_session_is_no_leak(void **state)
{
        static struct h2_memory m;
        pid_t pid = fork();
        int status = -1;

        (void)state;
        if (pid == 0) {
                h2_memory_init(&m, true);
                void **session = m.hooks.malloc(sizes[6], &m);
                *session = m.hooks.malloc(sizes[1], &m);
                exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(blocks_of_all_sizes_do_not_overlap),
                cmocka_unit_test(a_block_that_grows_keeps_its_bytes),
                cmocka_unit_test(an_exit_with_an_open_session_is_no_leak),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
