/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
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

static bool is_mapped(const char *name)
{
        FILE *maps = fopen("/proc/self/maps", "re");
        char line[1024];
        bool found = false;

        assert_non_null(maps);
        while (!found && fgets(line, sizeof line, maps) != NULL)
                found = strstr(line, name) != NULL;
        fclose(maps);
        return found;
}

/* zlib, which no library of this test needs. */
struct zlib_table {
        unsigned long (*adler)(unsigned long before, const unsigned char *bytes, unsigned len);
};

static const struct library_function zlib_functions[] = { { "adler32", offsetof(struct zlib_table, adler) },
                                                          { "no_such_function", offsetof(struct zlib_table, adler) } };

static void a_library_is_gone_after_its_use(void **state)
{
        struct library library = { .file = "libz.so.1", .package = "zlib1g", .functions = zlib_functions, .function_count = 1 };
        struct library_use use = { 0 };
        struct zlib_table table;

        (void)state;
        library_use_release(&use);
        for (int times = 0; times < 2; times++) {
                assert_false(is_mapped("/libz.so"));
                assert_null(library_use(&library, &table, &use));
                assert_true(is_mapped("/libz.so"));
                assert_int_equal(table.adler(1, (const unsigned char *)"a", 1), 0x00620062); /* RFC 1950 */
                library_use_release(&use);
                library_use_release(&use);
        }
        assert_false(is_mapped("/libz.so"));
}

static void a_library_without_a_function_does_not_stay(void **state)
{
        struct library library = { .file = "libz.so.1", .package = "zlib1g", .functions = zlib_functions, .function_count = 2 };
        struct library_use use = { 0 };
        struct zlib_table table;

        (void)state;
        AUTO_PTR(error) err = library_use(&library, &table, &use);
        assert_non_null(err);
        assert_null(use.handle);
        assert_false(is_mapped("/libz.so"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_table_has_the_functions_of_its_library),
                cmocka_unit_test(a_missing_library_is_named_with_its_package),
                cmocka_unit_test(a_missing_function_leaves_the_table_unchanged),
                cmocka_unit_test(a_library_is_gone_after_its_use),
                cmocka_unit_test(a_library_without_a_function_does_not_stay),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
