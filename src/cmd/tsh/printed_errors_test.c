/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "cmd/tsh/printed_errors.h"

static bool is_printed(struct printed_errors *s, const char *text, int64_t ms)
{
        AUTO_PTR(error) err = error_new(ERROR_UNAVAILABLE, "%s", text);

        return printed_errors_note(s, err, (struct instant){ MILLISECONDS(ms).ns });
}

static void each_text_is_printed_once_a_minute(void **state)
{
        struct printed_errors s = { 0 };

        (void)state;
        assert_true(is_printed(&s, "refused", 0));
        assert_false(is_printed(&s, "refused", 1));
        assert_true(is_printed(&s, "expired", 2));
        assert_false(is_printed(&s, "refused", PACE_APP_REFUSAL - 1));
        assert_true(is_printed(&s, "refused", PACE_APP_REFUSAL));
        assert_false(is_printed(&s, "refused", PACE_APP_REFUSAL + 1));
        printed_errors_release(&s);
}

static void the_oldest_text_is_forgotten(void **state)
{
        struct printed_errors s = { 0 };

        (void)state;
        for (int i = 0; i <= PRINTED_ERRORS_MAX; i++) {
                AUTO_MEM char *text = mem_printf("%d", i);

                assert_true(is_printed(&s, text, 0));
        }
        assert_false(is_printed(&s, "1", 0));
        assert_true(is_printed(&s, "0", 0));
        printed_errors_release(&s);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_text_is_printed_once_a_minute),
                cmocka_unit_test(the_oldest_text_is_forgotten),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
