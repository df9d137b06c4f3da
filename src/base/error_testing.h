/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests: checks of the result of a call. The error passed is freed.
 */
#ifndef BASE_ERROR_TESTING_H
#define BASE_ERROR_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/error.h"

/* Passes if there is no error; prints it otherwise. */
static inline UNUSED void assert_done(struct error *err)
{
        if (err == NULL)
                return;
        error_print(err);
        fail_msg("%s:%d: %s", err->file, err->line, err->what);
}

/* Passes if there is an error, of any code. */
static inline UNUSED void assert_failed(struct error *err)
{
        assert_non_null(err);
        error_free(err);
}

/* Passes if the error has the code, and `part` occurs in its sentence. */
static inline UNUSED void assert_refused(struct error *err, enum error_code code, const char *part)
{
        if (err == NULL)
                fail_msg("no error instead of %s: '%s'", error_code_name(code), part);
        else if (err->code != code || strstr(err->what, part) == NULL)
                fail_msg("%s: '%s' instead of %s: '%s'", error_code_name(err->code), err->what, error_code_name(code), part);
        error_free(err);
}

/* Passes if the error has the code. */
static inline UNUSED void assert_code(struct error *err, enum error_code code)
{
        assert_refused(err, code, "");
}

static inline UNUSED void assert_str(struct str got, const char *expected)
{
        if (!str_equal(got, str_of(expected)))
                fail_msg("'%.*s' instead of '%s'", STR_ARG(got), expected);
}

#endif
