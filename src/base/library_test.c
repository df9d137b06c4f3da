/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error_testing.h"
#include "base/library.h"
#include "base/mem.h"

struct table {
        __typeof__(strlen) *length;
        __typeof__(abs) *absolute;
};

static const struct library_function functions[] = { { "strlen", offsetof(struct table, length) },
                                                     { "abs", offsetof(struct table, absolute) } };
static const struct library_function with_a_missing_one[] = { { "strlen", offsetof(struct table, length) },
                                                              { "no_such_function", offsetof(struct table, absolute) } };

static struct library libc_with(const struct library_function *list)
{
        return (struct library){ .file = "libc.so.6", .package = "libc6 (version 2.36 or newer)", .functions = list, .function_count = 2 };
}

static void a_table_has_the_functions_of_its_library(void **state)
{
        struct library library = libc_with(functions);
        struct table table = { 0 };

        (void)state;
        assert_null(library_load(&library, &table));
        assert_int_equal(table.length("four"), 4);
        assert_int_equal(table.absolute(-7), 7);
}

static void a_missing_library_is_named_with_its_package(void **state)
{
        struct library library = libc_with(functions);
        struct table table = { 0 };

        (void)state;
        library.file = "libcteleport-none.so.1";
        AUTO_PTR(error) err = library_load(&library, &table);
        assert_non_null(err);
        assert_int_equal(err->code, ERROR_FAILED_PRECONDITION);
        assert_non_null(strstr(err->what, "libcteleport-none cannot be loaded: "));
        assert_string_equal(err->hint, "install the package libc6 (version 2.36 or newer)");
}

static void a_missing_function_leaves_the_table_unchanged(void **state)
{
        struct library library = libc_with(with_a_missing_one);
        struct table table = { 0 };

        (void)state;
        AUTO_PTR(error) err = library_load(&library, &table);
        assert_non_null(err);
        assert_int_equal(err->code, ERROR_FAILED_PRECONDITION);
        assert_non_null(strstr(err->what, "no_such_function"));
        assert_null(table.length);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_table_has_the_functions_of_its_library),
                cmocka_unit_test(a_missing_library_is_named_with_its_package),
                cmocka_unit_test(a_missing_function_leaves_the_table_unchanged),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
