/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "base/error.h"

/* The cause is not a missing permission, and another user would fail too. */
static void a_disk_that_cannot_be_written_is_no_matter_of_rights(void **state)
{
        static const struct {
                int errnum;
                enum error_code code;
                const char *hint; /* NULL: none */
        } rows[] = {
                { ENOSPC, ERROR_RESOURCE_EXHAUSTED, "make room" },  { EDQUOT, ERROR_RESOURCE_EXHAUSTED, "quota" },
                { EFBIG, ERROR_RESOURCE_EXHAUSTED, "ulimit -f" },   { EROFS, ERROR_FAILED_PRECONDITION, "read-only" },
                { EACCES, ERROR_PERMISSION_DENIED, NULL },          { EPERM, ERROR_PERMISSION_DENIED, NULL },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO_PTR(error) err = error_errno(rows[i].errnum, "cannot write");

                assert_int_equal(err->code, rows[i].code);
                if (rows[i].hint == NULL)
                        assert_null(err->hint);
                else
                        assert_non_null(strstr(err->hint, rows[i].hint));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_disk_that_cannot_be_written_is_no_matter_of_rights),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
