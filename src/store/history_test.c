/* SPDX-License-Identifier: Apache-2.0 */
/* The ring of recent changes: which changes it keeps and which revisions it reports as missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "store/history.h"

/* `count` changes of one revision, with `bytes` in their arena. */
static void add(struct history *h, uint64_t revision, size_t count, size_t bytes)
{
        struct arena *arena = arena_new(SIZE_MAX);
        struct store_change *changes = mem_array(count, sizeof *changes);

        for (size_t i = 0; i < count; i++)
                changes[i] = (struct store_change){ .item = { .key = arena_str(arena, STR("/k")), .revision = revision } };
        if (bytes > 0)
                memset(arena_alloc(arena, bytes), 'x', bytes);
        history_add(h, revision, changes, count, arena);
}

struct seen {
        uint64_t first, last;
        size_t count, most;
};

static bool note(void *ctx, const struct store_change *c)
{
        struct seen *s = ctx;

        assert_true(str_equal(c->item.key, STR("/k")));
        assert_true(c->item.revision >= s->last);
        if (s->count == 0)
                s->first = c->item.revision;
        s->last = c->item.revision;
        return ++s->count != s->most;
}

static struct seen replay(const struct history *h, uint64_t from)
{
        struct seen s = { 0 };

        history_each(h, from, note, &s);
        return s;
}

static void begins_with_nothing(void **state)
{
        struct history h;

        (void)state;
        history_init(&h, 7);
        assert_false(history_has(&h, 7));
        assert_true(history_has(&h, 8));
        assert_int_equal(replay(&h, 1).count, 0);
        history_release(&h);
}

static void gives_changes_from_a_revision_on_in_order(void **state)
{
        struct history h;

        (void)state;
        history_init(&h, 7);
        add(&h, 8, 2, 0);
        add(&h, 10, 1, 0); /* revisions may have gaps */
        add(&h, 11, 3, 0);
        assert_int_equal(replay(&h, 0).count, 6);
        assert_int_equal(replay(&h, 9).first, 10);
        assert_int_equal(replay(&h, 9).count, 4);
        assert_int_equal(replay(&h, 11).count, 3);
        assert_int_equal(replay(&h, 12).count, 0);
        struct seen s = { .most = 3 };
        history_each(&h, 8, note, &s);
        assert_int_equal(s.count, 3);
        history_release(&h);
}

static void forgets_the_oldest_beyond_its_number(void **state)
{
        struct history h;

        (void)state;
        history_init(&h, 0);
        for (uint64_t r = 1; r <= 3 * LIMIT_STORE_HISTORY; r++)
                add(&h, r, 1, 0);
        size_t kept = replay(&h, 0).count;
        assert_true(kept > 0 && kept <= LIMIT_STORE_HISTORY);
        uint64_t oldest = replay(&h, 0).first;
        assert_int_equal(oldest, 3 * LIMIT_STORE_HISTORY - kept + 1);
        assert_true(history_has(&h, oldest));
        assert_false(history_has(&h, oldest - 1));
        history_release(&h);
}

static void forgets_the_oldest_beyond_its_bytes(void **state)
{
        struct history h;

        (void)state;
        history_init(&h, 0);
        for (uint64_t r = 1; r <= 9; r++) {
                add(&h, r, 1, LIMIT_STORE_HISTORY_BYTES / 4);
                assert_true(h.bytes <= LIMIT_STORE_HISTORY_BYTES);
        }
        assert_int_equal(replay(&h, 0).last, 9);
        assert_int_equal(replay(&h, 0).count, 3); /* each a little over a quarter */
        assert_false(history_has(&h, 6));
        assert_true(history_has(&h, 7));
        history_release(&h);
}

static void a_revision_that_is_too_large_empties_it(void **state)
{
        static const size_t sizes[][2] = { { LIMIT_STORE_HISTORY + 1, 0 }, { 1, LIMIT_STORE_HISTORY_BYTES } };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
                struct history h;

                history_init(&h, 0);
                add(&h, 1, 1, 0);
                add(&h, 2, sizes[i][0], sizes[i][1]);
                assert_int_equal(replay(&h, 0).count, 0);
                assert_false(history_has(&h, 2));
                assert_true(history_has(&h, 3));
                add(&h, 3, 1, 0);
                assert_int_equal(replay(&h, 3).count, 1);
                history_release(&h);
        }
}

static void forgets_all_when_changes_were_missed(void **state)
{
        struct history h;

        (void)state;
        history_init(&h, 0);
        add(&h, 1, 1, 0);
        history_forget(&h, 20);
        assert_int_equal(replay(&h, 0).count, 0);
        assert_false(history_has(&h, 20));
        assert_true(history_has(&h, 21));
        assert_int_equal(h.bytes, 0);
        assert_int_equal(h.changes, 0);
        history_release(&h);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(begins_with_nothing),
                cmocka_unit_test(gives_changes_from_a_revision_on_in_order),
                cmocka_unit_test(forgets_the_oldest_beyond_its_number),
                cmocka_unit_test(forgets_the_oldest_beyond_its_bytes),
                cmocka_unit_test(a_revision_that_is_too_large_empties_it),
                cmocka_unit_test(forgets_all_when_changes_were_missed),
        };

        return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
