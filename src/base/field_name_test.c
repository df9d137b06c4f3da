/* SPDX-License-Identifier: Apache-2.0 */
#include "base/field_name.h"

#include <string.h>

#include "base/error_testing.h"

/* A value of each length, each byte of 256 at each position of it, with tabs and bytes above 0x7f around it. */
static void finds_each_control_byte_of_a_value(void **state)
{
        char value[20];

        (void)state;
        for (size_t len = 1; len <= sizeof value; len++) {
                for (size_t at = 0; at < len; at++) {
                        for (int c = 0; c < 256; c++) {
                                memset(value, at % 3 == 0 ? '\t' : at % 3 == 1 ? ' ' : '\xff', sizeof value);
                                value[at] = (char)c;
                                if (http_is_field_value((struct str){ value, len }) != (c == '\t' || (c >= ' ' && c != 0x7f)))
                                        fail_msg("byte %d at %zu of %zu", c, at, len);
                        }
                }
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(finds_each_control_byte_of_a_value),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
